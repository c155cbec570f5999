"""The rungs of the last minute, and of no other."""

from __future__ import annotations

from adfeast.clock import ManualClock
from adfeast.contract.rungs import Rung
from serving.predict.shares import RungShares


def test_answers_of_more_than_a_minute_ago_do_not_count() -> None:
    clock = ManualClock(1_600_000_000_000)
    shares = RungShares(clock)
    assert shares.last_minute() == {}
    shares.count(Rung.PRIOR)
    clock.advance(30_000)
    shares.count(Rung.FRESH)
    shares.count(Rung.FRESH)
    assert shares.last_minute() == {"fresh": 2, "prior": 1}
    clock.advance(30_000)
    assert shares.last_minute() == {"fresh": 2}
    clock.advance(30_000)
    assert shares.last_minute() == {}
