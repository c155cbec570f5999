"""The whole loop, played once on two days of the real data, with one feature more than the repository defines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from feast import FeatureStore
from rich.console import Console

from adfeast.contract.definitions import Definitions
from adfeast.contract.snapshots import SnapshotCodec
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import open_store
from adfeast.settings import ROOT, Settings, load_settings
from demo import story
from demo.run import Days
from demo.traffic.download import fetch
from demo.traffic.open_bandit import OpenBandit, read
from infra.local.platform.platform import Platform

DAYS = Days(
    history=(date(2019, 11, 24), date(2019, 11, 24)), replayed=(date(2019, 11, 25), date(2019, 11, 25)), judged=None
)
ADDED = "added_by_a_test"
VIEWS = "stream_views.py"
FEATURES = "    features=[\n        "


@dataclass(frozen=True)
class Loop:
    """What stands after the loop has been closed once, everything still running."""

    home: Path
    platform: Platform
    settings: Settings
    definitions: Definitions
    store: FeatureStore
    data: OpenBandit

    @property
    def codec(self) -> SnapshotCodec:
        """Of what is logged: the service, of which every model takes all."""
        return SnapshotCodec(self.definitions.contract(self.settings.feature_service))


def add_a_feature(repo: Path) -> None:
    """The whole edit: one line in a stream view, which the feature service takes whole."""
    file = repo / VIEWS
    text = file.read_text()
    added = f'windowed("{ADDED}", "count", "event_id", minutes(15), seconds(30)),\n        '
    assert FEATURES in text
    file.write_text(text.replace(FEATURES, FEATURES + added, 1))


@pytest.fixture(scope="session")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    root = tmp_path_factory.mktemp("loop")
    home, repo = root / ".local", root / "feature_repo"
    shutil.copytree(ROOT / "feature_repo", repo, ignore=shutil.ignore_patterns("__pycache__"))
    add_a_feature(repo)
    home.mkdir()
    downloaded = ROOT / ".local" / "data" / "open_bandit"
    if downloaded.exists():
        shutil.copytree(downloaded, home / "data" / "open_bandit")
    before = dict(os.environ)
    # The story begins with an empty settings file; the environment outlives it and reaches the prediction server.
    os.environ |= {"ADFEAST_FEATURE_REPO": str(repo), "ADFEAST_SNAPSHOT_BEFORE_ANSWER": "true"}
    try:
        story.tell(Console(quiet=True), home, DAYS, keep_up=True, force=True)  # of a day nothing can be shown
        settings = load_settings()
        definitions = load_definitions(settings)
        data = read(fetch(home / "data"), definitions)
        yield Loop(home, Platform(home), settings, definitions, open_store(settings), data)
    finally:
        left = Platform(home).down()
        os.environ.clear()
        os.environ.update(before)
    assert left == [], "processes outlived their part"
