"""The week of changes in its short form: `make drill-change` plays it for ten minutes, with Spark and training."""

from __future__ import annotations

from pathlib import Path

from drills.change import play
from drills.kills import PROGRAMS


def test_everything_changes_under_traffic_and_nothing_is_lost(tmp_path: Path) -> None:
    """`play` raises with the broken promises: a Predict that failed, an event lost or doubled, a wrong value."""
    found = play(tmp_path, short=True, say=print)
    assert found.figures["Predicts failed"] == 0
    assert found.figures["Predicts answered"] > 1000
    assert found.figures["online values compared"] > 500
    assert set(found.figures["programs killed"]) == set(PROGRAMS)
    assert len(found.figures["by model"]) == 3
