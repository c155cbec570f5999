"""The suite follows from the contract: a sound set meets it, and each way to be broken is named."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from adfeast.contract.rungs import Rung
from adfeast.contract.signature import DTYPES, Contract, Identity
from adfeast.contract.tensors import Status
from training.data.columns import NOT_LOGGED, column_names, status_column, training_schema
from training.data.expectations import evaluate
from training.data.training_set_suite import frame, statuses, suite

NUMBER = Identity("age", "users", "user", "dense", "float32")
CONTRACT = Contract(
    (
        NUMBER,
        Identity("campaign", "ads", "ad", "sparse", "string"),
        Identity("recent", "users", "user", "list", "int64_list", width=3),
        Identity("content", "ads", "ad", "embedding", "float32_list", width=2),
        replace(NUMBER, made="before"),
    )
)
OLDER = column_names(CONTRACT)[CONTRACT.inputs[-1]]
ROWS = 40


def sound() -> pa.Table:
    rng = np.random.default_rng(0)
    schema = training_schema(CONTRACT, "user_id", "ad_id", (0, 1))
    columns: dict[str, Any] = {f.name: [f"{f.name} {n}" for n in range(ROWS)] for f in schema if f.type == pa.string()}
    columns |= {"label": [int(n % 5 == 0) for n in range(ROWS)], "weight": [1.0] * ROWS, "position": [None] * ROWS}
    columns |= {"rung": [Rung.FRESH.text] * ROWS}
    columns |= {"event_timestamp": [datetime(2019, 11, 28, tzinfo=UTC)] * ROWS, "score": rng.random(ROWS)}
    for identity, name in column_names(CONTRACT).items():
        values = rng.integers(0, 99, (ROWS, identity.width)).astype(DTYPES[identity.role])
        columns[name] = values.tolist() if identity.role in ("list", "embedding") else values[:, 0].tolist()
        columns[status_column(name)] = [int(Status.PRESENT)] * ROWS
    for n, status in enumerate((NOT_LOGGED, Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE, Status.STALE)):
        columns["age"][n], columns["age__status"][n] = None, int(status)
    columns[OLDER], columns[status_column(OLDER)] = [None] * ROWS, [NOT_LOGGED] * ROWS
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in schema}, schema)


def change(table: pa.Table, name: str, **values: Any) -> pa.Table:
    """Other values in some rows, named `_<row>`, or in all."""
    at = table.schema.get_field_index(name)
    column = table[name].to_pylist()
    for row in range(ROWS):
        column[row] = values.get(f"_{row}", values.get("all", column[row]))
    return table.set_column(at, table.schema.field(at), pa.array(column, table.schema.field(at).type))


def judged(table: pa.Table, most_missing: dict[str, float] | None = None) -> tuple[list[str], int]:
    return evaluate("set", frame(table, CONTRACT), suite(table, CONTRACT, (0.0, 0.5), most_missing))


def failed(table: pa.Table) -> list[str]:
    return judged(table)[0]


def test_a_sound_set_meets_everything_and_a_feature_never_logged_may_be_absent() -> None:
    problems, count = judged(sound())
    assert problems == []
    assert count > 30


def test_the_rows_of_a_feature_are_counted_by_the_names_of_their_statuses() -> None:
    counted = statuses(sound(), CONTRACT)
    assert counted["age"] == {"not logged": 1, "present": ROWS - 4, "missing": 1, "too old": 1, "stale": 1}
    assert counted["campaign"] == {"present": ROWS}
    assert counted[OLDER] == {"not logged": ROWS}


def test_a_feature_unknown_in_a_larger_share_of_the_rows_that_logged_it_than_declared_is_refused() -> None:
    table = sound()  # age: not logged in one row, unknown in 3 of the other 39
    assert judged(table, {"age": 0.08, "*": 0})[0] == []
    found, _ = judged(table, {"age": 0.07})
    assert len(found) == 1
    assert "mean_to_be_between(present(age))" in found[0]
    other, _ = judged(change(table, "campaign__status", _3=4), {"age": 1, "*": 0.02})
    assert len(other) == 1
    assert "mean_to_be_between(present(campaign))" in other[0]


def test_a_set_in_which_no_feature_is_known_in_any_row_is_refused() -> None:
    table = sound()
    for name in column_names(CONTRACT).values():
        table = change(table, status_column(name), all=NOT_LOGGED)
        if pa.types.is_floating(table[name].type):
            table = change(table, name, **{f"_{row}": None for row in range(ROWS)})
    assert any("present(any feature)" in text for text in failed(table))


# Together in one set where they do not touch each other: a run of Great Expectations takes seconds.
BROKEN = {
    "single values": [
        ("age", {"_7": None}, "in_set(null(age)): 1 rows, such as [2.0]"),
        ("campaign__status", {"_7": 3}, "in_set(campaign__status)"),
        ("campaign", {"_7": -2}, "1 rows, such as [-2]"),
        ("content", {"_7": [1.0, float("inf")]}, "between(max(content))"),
        ("recent", {"_7": [None, 1, 2]}, "not_be_null(min(recent))"),
        ("score", {"_7": 1.5}, "between(score)"),
        ("model_version", {"_7": None}, "not_be_null(model_version)"),
        ("impression_id", {"_7": "impression_id 6"}, "unique(impression_id)"),
        ("label", {"all": 0}, "mean_to_be_between(label)"),
    ],
    "a lost source": [
        ("age", {"_7": float("inf")}, "between(age)"),
        ("age__status", {"all": 4}, "mean_to_be_between(present(age))"),
        ("campaign__status", {"all": 5}, "mean_to_be_between(present(campaign))"),
        ("label", {"all": 1}, "mean_to_be_between(label)"),
    ],
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named_and_nothing_else(changes: list[tuple[str, dict[str, Any], str]]) -> None:
    table = sound()
    for name, values, _ in changes:
        table = change(table, name, **values)
    found = failed(table)
    for _, _, says in changes:
        assert any(says in text for text in found), (says, found)
    assert len(found) <= len(changes) + 1, found  # a list with a null has neither a least nor a largest element
