"""An interval is made once it has ended and its input is complete, and again when what makes it has changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adfeast.clock import ManualClock, to_ms
from adfeast.contract.definitions import Definitions, Table, View
from adfeast.ledger import Run
from training.data.intervals import GRACE, LATENESS, last_end, pending, require_end, require_past, waits_for
from training.errors import FutureInterval, NotAnInterval

DAY = timedelta(days=1)
END = datetime(2019, 11, 29, tzinfo=UTC)
VIEW = View("seen", "batch", "user", "user_id", "dynamodb", 60, (), "seen_table", reads=("clicks", "users"))
APPLIED = Definitions(
    project="p",
    entities={"user": "user_id"},
    views={"seen": VIEW},
    events={"clicks": {}, "impressions": {}},
    request_sources={},
    services={},
    tables={"users": Table("users", "/lake/users", 3600), "ads": Table("ads", "/lake/ads")},
)


def run(end: datetime, digest: str = "d1", status: str = "done", finished: int = 1) -> Run:
    at = END + timedelta(hours=finished)
    return Run("batch_view", "seen", digest, end - DAY, end, status, 5, 1, at, at, None, {})


def test_an_interval_that_lies_in_the_future_is_refused_by_name():
    clock = ManualClock(to_ms(END + LATENESS))
    require_past(END, clock, LATENESS)
    typo = END.replace(year=2020)
    with pytest.raises(FutureInterval, match="2020-11-29T00:00:00"):
        require_past(typo, clock, LATENESS)
    clock.advance(-1)
    with pytest.raises(FutureInterval, match=r"2019-11-29T00:05:00.*lateness 0:05:00"):
        require_past(END, clock, LATENESS)


def test_only_whole_intervals_are_intervals():
    assert last_end(END + timedelta(hours=23), DAY) == END
    require_end(END, DAY)
    with pytest.raises(NotAnInterval, match=r"2019-11-29T01:00.*2019-11-29T00:00"):
        require_end(END + timedelta(hours=1), DAY)
    with pytest.raises(NotAnInterval, match="every="):
        last_end(END, timedelta(0))


def test_the_first_run_makes_one_interval_and_later_ones_catch_up_newest_first():
    assert pending([], "d1", END, DAY, None) == [END]
    runs = [run(END - 3 * DAY), run(END - 2 * DAY, status="failed"), run(END - DAY)]
    assert pending(runs, "d1", END, DAY, None) == [END, END - 2 * DAY]
    assert pending([], "d1", END, DAY, END - 2 * DAY) == [END, END - DAY]


def test_a_changed_query_makes_the_newest_interval_again():
    runs = [run(END - DAY), run(END)]
    assert pending(runs, "d1", END, DAY, None) == []
    assert pending(runs, "d2", END, DAY, None) == [END]
    assert pending(runs, "d2", END, DAY, END - 2 * DAY) == [END, END - DAY]


def test_going_back_to_an_old_query_makes_the_interval_again():
    runs = [run(END, "d1", finished=1), run(END, "d2", finished=2)]
    assert pending(runs, "d1", END, DAY, None) == [END]
    assert pending(runs, "d2", END, DAY, None) == []


def test_a_skipped_interval_is_not_made():
    assert pending([run(END, status="skipped")], "d1", END, DAY, None) == []


def test_an_interval_waits_until_the_archive_of_what_it_reads_is_beyond_its_end():
    fresh = {"users": END}
    needed = to_ms(END + GRACE)
    assert waits_for(VIEW, APPLIED, END, {"clicks": needed}, fresh, GRACE) == []
    [late] = waits_for(VIEW, APPLIED, END, {"clicks": needed - 1, "impressions": needed}, fresh, GRACE)
    assert "'clicks' is archived until 2019-11-29T00:00:59.999" in late
    assert "2019-11-29T00:01:00+00:00 is needed" in late
    [silent] = waits_for(VIEW, APPLIED, END, {}, fresh, GRACE)
    assert "'clicks' has no archive watermark" in silent
    assert "heartbeat" in silent


def test_an_interval_waits_for_a_fresh_delivery_where_an_age_is_declared():
    archived = {"clicks": to_ms(END + GRACE)}
    assert waits_for(VIEW, APPLIED, END, archived, {"users": END - timedelta(hours=1)}, GRACE) == []
    [stale] = waits_for(VIEW, APPLIED, END, archived, {"users": END - timedelta(hours=1, seconds=1)}, GRACE)
    assert "'users' was last delivered at 2019-11-28T22:59:59" in stale
    [none] = waits_for(VIEW, APPLIED, END, archived, {"users": None}, GRACE)
    assert "'users' has no delivery" in none
    patient = replace(APPLIED, tables={"users": Table("users", "/lake/users")})
    assert waits_for(VIEW, patient, END, archived, {"users": END - 99 * DAY}, GRACE) == []
