"""The real platform for tests that need servers: one for the whole session, in a folder that pytest keeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adfeast.settings import Settings
from infra.local.platform.platform import REPLAY, Platform
from tests.contract.redis_cluster import Cluster


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Every part up and ready; taken down at the end whatever happened, and nothing may be left."""
    running = Platform(tmp_path_factory.mktemp("platform"), settings=REPLAY)
    left: list[str] = []
    try:
        running.up()
        yield running
    finally:
        left = running.down()
    assert left == [], "processes outlived their part"


@pytest.fixture(scope="session")
def settings(platform: Platform) -> Iterator[Settings]:
    """Settings of `platform`, with the definitions of feature_repo/ applied and their topics created."""
    from adfeast.feast_ext.store import apply

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADFEAST_SETTINGS", str(platform.home.settings_file))
        apply(platform.settings)
        platform.create_topics()
        yield platform.settings


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three masters with a third of the slots each."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
