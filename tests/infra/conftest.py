"""Terraform and manifests as they are, with what follows from the definitions as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra import manifests, trees


@pytest.fixture(scope="session")
def plan() -> str:
    """The plan of feature_repo/."""
    return trees.plan()


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, plan: str) -> Path:
    """A copy that no test changes."""
    return trees.copied(tmp_path_factory.mktemp("infra"), plan)


@pytest.fixture(scope="session")
def manifest_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of infra/k8s that no test changes."""
    return manifests.copied(tmp_path_factory.mktemp("manifests"), manifests.schedules())
