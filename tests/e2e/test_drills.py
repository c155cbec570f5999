"""Both drills in their short forms, one after the other on one platform under traffic.

`make drill-streams` and `make drill-change` play them whole, with minutes of absence, Spark and training.
"""

from __future__ import annotations

import time
from pathlib import Path

from drills import change, streams
from drills.kills import PROGRAMS
from drills.outcome import Outcome, judge
from drills.stage import stage


def test_what_goes_wrong_and_everything_that_changes_under_traffic_loses_nothing(tmp_path: Path) -> None:
    """`ended` raises with the broken promises: a Predict that failed, an event lost or doubled, a wrong value."""
    found, begun = Outcome(), time.monotonic()
    with stage(tmp_path, change.SHORT_RATE, change.SHORT_KILL_EVERY_S, change.SEED) as on:
        streams.act(on, found, print, short=True, patience=5.0)
        change.act(on, found, print, short=True)
        judge(on, found, print)
    found.ended(begun)
    assert found.figures["Predicts failed"] == 0
    assert found.figures["Predicts answered"] > 1000
    assert found.figures["online values compared"] > 500
    assert set(found.figures["programs killed"]) == set(PROGRAMS)
    assert len(found.figures["by model"]) == 2
