"""An unsound row is put aside with its reasons; the others stay, unless too many are unsound."""

from __future__ import annotations

import pytest

from tests.unit.training.data.conftest import make_feature, make_view
from training.data.quarantine import REASON, require_few, with_reason
from training.errors import BadFeatureRows

NAN, INF = float("nan"), float("inf")
VIEW = make_view(
    make_feature("rate", "float32", "dense", low=0.0, high=5.0),
    make_feature("content", "float32_list", "embedding", width=3),
    make_feature("recent", "int64_list", "list", width=2),
    make_feature("seen", "int64", "dense", high=9),
    bad_rows=0.5,
)
SCHEMA = "thing_id string, rate float, content array<float>, recent array<bigint>, seen bigint"
SOUND = (1.0, [1.0, 2.0, 3.0], [1, 2], 9)
UNSOUND = [
    ((None, *SOUND), "no thing_id"),
    (("", *SOUND), "no thing_id"),
    (("nan", NAN, *SOUND[1:]), "rate is not finite"),
    (("low", -0.1, *SOUND[1:]), "rate is below 0"),
    (("high", 5.1, *SOUND[1:]), "rate is above 5"),
    (("short", 1.0, [1.0, 2.0], *SOUND[2:]), "content has not 3 numbers"),
    (("hole", 1.0, [1.0, None, 3.0], *SOUND[2:]), "content has a number that is not finite"),
    (("inf", 1.0, [1.0, INF, 3.0], *SOUND[2:]), "content has a number that is not finite"),
    (("many", *SOUND[:2], [1, 2, 3], 9), "recent has more than 2 ids"),
    (("null", *SOUND[:2], [1, None], 9), "recent has a null"),
    (("count", *SOUND[:3], 10), "seen is above 9"),
]


def test_each_kind_of_unsound_row_has_its_reason_and_a_sound_or_missing_value_has_none(spark):
    fine = [("fine", *SOUND), ("nothing", None, None, None, None), ("empty", 1.0, None, [], 0)]
    frame = spark.createDataFrame([*(row for row, _ in UNSOUND), *fine], SCHEMA)
    found = {r["thing_id"]: r[REASON] for r in with_reason(frame, VIEW).collect()}
    assert found == {row[0]: reason for row, reason in UNSOUND} | dict.fromkeys(("fine", "nothing", "empty"))


def test_of_rows_that_share_a_key_none_is_kept(spark):
    rows = [("twice", *SOUND), ("twice", 2.0, *SOUND[1:]), ("once", *SOUND)]
    judged = with_reason(spark.createDataFrame(rows, SCHEMA), VIEW).collect()
    assert [r["thing_id"] for r in judged if r[REASON] is None] == ["once"]
    assert {r[REASON] for r in judged if r["thing_id"] == "twice"} == {"thing_id of several rows"}


def test_more_unsound_rows_than_the_view_allows_fail_it():
    require_few(VIEW, 10, {"rate is not finite": 4, "no thing_id": 1})
    with pytest.raises(BadFeatureRows, match=r"6 of 10 rows.*bad_rows=0.5: rate is not finite") as failure:
        require_few(VIEW, 10, {"rate is not finite": 5, "no thing_id": 1})
    assert failure.value.reasons == {"rate is not finite": 5, "no thing_id": 1}
