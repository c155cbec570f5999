"""The Terraform as it is, planned from the definitions as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra import trees


@pytest.fixture(scope="session")
def plan() -> str:
    """The plan of feature_repo/."""
    return trees.plan()


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, plan: str) -> Path:
    """A copy that no test changes."""
    return trees.copied(tmp_path_factory.mktemp("infra"), plan)
