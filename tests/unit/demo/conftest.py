"""The definitions as `feast apply` would leave them, without a registry, and the data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from adfeast.contract.definitions import Definitions
from adfeast.feast_ext.registry import parse
from adfeast.settings import ROOT
from demo.traffic.download import fetch
from demo.traffic.open_bandit import OpenBandit, read


@pytest.fixture(scope="session")
def definitions() -> Definitions:
    from feast.repo_operations import parse_repo

    with pytest.MonkeyPatch.context() as patch:  # as the `feast` command does it
        patch.chdir(ROOT / "feature_repo")
        patch.syspath_prepend(str(ROOT / "feature_repo"))
        repo = parse_repo(ROOT / "feature_repo")

    def protos(objects: list[object]) -> dict[str, bytes]:
        return {o.name: o.to_proto().SerializeToString() for o in objects}  # type: ignore[attr-defined]

    return parse(
        "adfeast",
        {
            "entities": protos(repo.entities),
            "data_sources": protos(repo.data_sources),
            "feature_views": protos(repo.feature_views),
            "stream_feature_views": protos(repo.stream_feature_views),
            "feature_services": protos(repo.feature_services),
        },
    )


@pytest.fixture(scope="session")
def folder() -> Path:
    return fetch(ROOT / ".local" / "data")


@pytest.fixture(scope="session")
def data(folder: Path, definitions: Definitions) -> OpenBandit:
    return read(folder, definitions)
