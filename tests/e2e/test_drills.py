"""The drills in their short forms, one after the other on one platform under traffic.

`make drill-streams`, `make drill-serving` and `make drill-change` play them whole: with minutes of absence, every
fault, Spark and training. Other tests run beside this one, so an auction has more time here than an ad server gives it.
"""

from __future__ import annotations

import time
from pathlib import Path

from adfeast.contract.rungs import Rung
from drills import change, serving, streams
from drills.kills import PROGRAMS
from drills.outcome import Outcome, judge
from drills.serving_play import Measure
from drills.stage import stage

BUDGETS = dict.fromkeys(("redis_budget_ms", "dynamodb_budget_ms", "triton_budget_ms"), 200)
AUCTIONS = Measure(15, 20, 10.0, users=30, ads=30, seconds=3, patience=40, in_time=0.9, whole=0.8)


def test_what_goes_wrong_and_everything_that_changes_under_traffic_loses_nothing(tmp_path: Path) -> None:
    """`ended` raises with the broken promises: a Predict that failed, an event lost or doubled, a wrong value."""
    found, begun = Outcome(), time.monotonic()
    with stage(tmp_path, change.SHORT_RATE, change.SHORT_KILL_EVERY_S, change.SEED, BUDGETS) as on:
        streams.act(on, found, print, short=True, patience=5.0)
        on.platform.start(serving.KEEPER)
        rows = serving.act(on, found, print, AUCTIONS, short=True)
        on.platform.stop(serving.KEEPER)
        change.act(on, found, print, short=True)
        judge(on, found, print)
    found.ended(begun)
    assert found.figures["Predicts failed"] == 0
    assert found.figures["Predicts answered"] > 1000
    assert found.figures["online values compared"] > 500
    assert set(found.figures["programs killed"]) == set(PROGRAMS)
    assert len(found.figures["by model"]) == 2
    assert all(row.by_rung.keys() - {Rung.FRESH} for row in rows if "stands still" in row.fault or "model" in row.fault)
