"""A suite follows from a view's definition, and names what is not met with its column and examples."""

from __future__ import annotations

import pytest

from tests.unit.training.data.conftest import make_feature, make_view
from training.data import suites
from training.data.suites import Bounds
from training.errors import NotPublished

VIEW = make_view(
    make_feature("rate", "float32", "dense", low=0.0, high=5.0),
    make_feature("content", "float32_list", "embedding", width=2),
    make_feature("recent", "int64_list", "list", width=2),
    make_feature("segment", "int64", "sparse", null_share=0.25),
)
SCHEMA = "thing_id string, rate float, content array<float>, recent array<bigint>, segment bigint"
ROWS = [(f"t{n}", float(n), [1.0, 2.0], [n], None if n == 0 else 1 << 60) for n in range(4)]


def bounds(rows: int = 4, before: int | None = None, age_s: float = 10.0) -> Bounds:
    return Bounds(rows, before, 0.5, {"users": age_s}, {"users": 10})


def test_sound_rows_meet_it(spark):
    met, seen = suites.require(spark.createDataFrame(ROWS, SCHEMA), VIEW, bounds())
    assert (met, seen) == (10, 4)
    assert suites.require(spark.createDataFrame(ROWS, SCHEMA), VIEW, bounds(before=8))[1] == 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("t0", 1.0, [1.0, 2.0], [1], 1), r"be_unique\(thing_id\): 2 rows, such as \[.t0., .t0.\]"),
        (("t9", 7.0, [1.0, 2.0], [1], 1), r"be_between\(rate\).*1 rows, such as \[7.0\]"),
        (("t9", 1.0, [1.0], [1], 1), r"be_between\(content\).*1 rows, such as \[1"),
        (("t9", 1.0, [1.0, float("nan")], [1], 1), r"be_in_set\(finite\(content\)\): 1 rows"),
        (("t9", 1.0, [1.0, 2.0], [1, 2, 3], 1), r"be_between\(recent\).*1 rows, such as \[3"),
        (("t9", 1.0, [1.0, 2.0], [1], None), r"not_be_null\(segment\).*0.75.*2 rows"),
    ],
)
def test_what_no_row_may_be_is_named(spark, row, message):
    with pytest.raises(NotPublished, match=message) as failure:
        suites.require(spark.createDataFrame([*ROWS, row], SCHEMA), VIEW, bounds(5))
    assert len(failure.value.failed) == 1


def test_a_view_that_lost_its_rows_and_one_of_a_stale_table_are_not_published(spark):
    with pytest.raises(NotPublished, match=r"be_between\(rows\) .*4.5.*such as \[4\]"):
        suites.require(spark.createDataFrame(ROWS, SCHEMA), VIEW, bounds(before=9))
    with pytest.raises(NotPublished, match=r"be_between\(age_s\(users\)\).*10.*such as \[11.0\]"):
        suites.require(spark.createDataFrame(ROWS, SCHEMA), VIEW, bounds(age_s=11.0))


def test_of_many_rows_a_fixed_part_is_looked_at(spark, monkeypatch):
    monkeypatch.setattr(suites, "MOST_ROWS", 100)
    rows = spark.createDataFrame([(f"t{n}", 1.0, [1.0, 2.0], [n], n) for n in range(1000)], SCHEMA)
    seen = {suites.require(rows.repartition(n), VIEW, bounds(1000))[1] for n in (1, 3)}
    assert len(seen) == 1
    assert 50 < seen.pop() < 200
