"""What a row of the table says, and which promises it breaks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adfeast.contract.rungs import Rung
from benchmarks.harness.auctions import Asked
from drills.rows import HEAD, Promise, Row, healed_after, table


def asked(count: int, ms: float = 5.0, rung: Rung = Rung.FRESH, lost: str = "") -> list[Asked]:
    return [Asked(n, n / 60, 0.1, ms, 0 if lost else rung, rung is Rung.FRESH, "click-1", lost) for n in range(count)]


WELL = Row.of("nothing", asked(1000), 50.0, 0.0)


def test_a_row_counts_answers_in_time_by_rung_and_what_is_lost() -> None:
    row = Row.of("x", [*asked(6), *asked(2, 70.0, Rung.CACHED), *asked(2, 1.0, lost="UNAVAILABLE: away")], 50.0, 1.5)
    assert (row.sent, row.in_time, dict(row.lost)) == (10, 6, {"UNAVAILABLE": 2})
    assert row.by_rung == {Rung.FRESH: 6, Rung.CACHED: 2}


def test_an_answer_that_is_lost_at_once_is_not_in_time() -> None:
    assert Row.of("x", asked(10, 1.0, lost="UNAVAILABLE: away"), 50.0, 0.0).in_time == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"in_time": 998}, "99.80% answered within 50 ms, 99.9% promised"),
        ({"lost": {"UNAVAILABLE": 2}}, "2 of 1000 lost: {'UNAVAILABLE': 2}"),
        ({"healed_s": None}, "not healed"),
        ({"healed_s": 60.1}, "healed after 60.1 s, 60 s promised"),
        ({"sent": 0, "in_time": 0}, "nobody asked"),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, object], said: str) -> None:
    assert WELL.broken(Promise()) == []
    assert replace(WELL, **change).broken(Promise()) == [f"nothing: {said}"]  # type: ignore[arg-type]


def test_where_time_is_not_promised_slow_answers_break_nothing() -> None:
    assert replace(WELL, in_time=0).broken(Promise(in_time=None)) == []


def test_a_table_has_a_line_a_fault_below_its_head() -> None:
    lines = table([WELL, Row.of("Redis killed", asked(10, lost="UNAVAILABLE"), 50.0, None)]).split("\n")
    assert [line.split() for line in lines] == [
        " ".join(HEAD).split(),
        ["nothing", "1000", "100.00%", "5.0", "100.0%", "0.0"],
        ["Redis", "killed", "10", "0.00%", "5.0", "10", "never"],
    ]


def test_healing_lasts_until_the_last_answer_that_is_not_whole() -> None:
    whole = asked(600)
    broken = [replace(a, whole=a.due_s > 4.0) for a in whole]
    assert healed_after(whole, 1.0, 10.0, 1.0) == 0.0
    assert healed_after(broken, 1.0, 10.0, 1.0) == pytest.approx(3.0, abs=0.3)
    assert healed_after(broken, 1.0, 5.0, 1.0) is None, "only a second was whole"
    assert healed_after([], 1.0, 10.0, 1.0) is None


def test_where_some_answers_may_be_less_a_single_one_does_not_count() -> None:
    once = [replace(a, whole=a.number != 300) for a in asked(600)]
    assert healed_after(once, 1.0, 10.0, 0.9) == 0.0
    assert healed_after(once, 1.0, 10.0, 1.0) == pytest.approx(4.0, abs=0.3)
