"""A former job is needed until the new one writes, and is where the former one was."""

from __future__ import annotations

from streaming.flink_rest import Job
from streaming.names import LABELS
from streaming.running import as_planned, beside, differs
from streaming.switch import Place, caught_up

HERE, THERE = ("bids", 0), ("bids", 1)


def test_a_job_has_caught_up_when_neither_watermark_nor_offsets_are_behind() -> None:
    seen = Place(5_000, {HERE: 10, THERE: 4})
    assert caught_up(Place(5_000, {HERE: 10, THERE: 4}), seen, 4_000)
    assert not caught_up(Place(4_999, {HERE: 11, THERE: 4}), seen, 4_000)
    assert not caught_up(Place(6_000, {HERE: 9, THERE: 9}), seen, 4_000)
    assert not caught_up(Place(None, {HERE: 10, THERE: 4}), seen, 4_000)
    assert not caught_up(Place(5_000, {HERE: 10, THERE: 4}), seen, 5_001), "it writes nothing yet"


def test_a_former_job_that_says_nothing_does_not_hold_the_new_one_back_once_that_writes() -> None:
    silent = Place(None, {HERE: 3})
    assert caught_up(Place(None, {HERE: 3}), silent, 0)
    assert not caught_up(Place(None, {HERE: 3}), silent, 1)
    assert caught_up(Place(1, {HERE: 3}), silent, 1)


def job(digest: str, tuning: str = "t") -> Job:
    return Job(f"id-{digest}-{tuning}", "p-features-v", digest, tuning, 1, "RUNNING", 1, 1)


def test_what_runs_beside_the_planned_job_is_left_to_the_switch() -> None:
    plan = {"jobs": {"features-v": {"digest": "new", "tuning": "t"}}}
    old, new = job("old"), job("new")
    assert differs(plan, {}) == ["features-v"]
    assert differs(plan, {"features-v": [old]}) == ["features-v"]
    assert differs(plan, {"features-v": [job("new", "other")]}) == ["features-v"]
    assert differs(plan, {"features-v": [old, new]}) == []
    assert list(beside(plan, {"features-v": [old, new]})) == [("features-v", new, old)]
    assert as_planned(plan, "features-v", [old, new]) == new
    assert differs(plan, {"features-v": [old, job("between"), new]}) == ["features-v"]
    assert differs(plan, {"features-v": [new], "features-gone": [old]}) == ["features-gone"]


def test_the_job_of_labels_has_no_other_beside_it() -> None:
    plan = {"jobs": {LABELS: {"digest": "new", "tuning": "t"}}}
    assert list(beside(plan, {LABELS: [job("old"), job("new")]})) == []
    assert differs(plan, {LABELS: [job("old"), job("new")]}) == [LABELS]
