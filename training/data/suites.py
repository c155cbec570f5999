"""The Great Expectations suite of a batch view, made from its definition and run before anything is published.

Every row is judged in Spark (training.data.quarantine); the suite sees the rows that are left, and where they are many
a fixed part of them, chosen by a hash of the key: two million rows take Great Expectations ten seconds in pandas and
minutes in Spark. Counts of rows and ages of tables are exact and stand in every row of what it looks at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from adfeast.contract.definitions import View
from training.data.expectations import evaluate, great_expectations
from training.data.quarantine import finite
from training.errors import NotPublished

MOST_ROWS = 200_000


@dataclass(frozen=True)
class Bounds:
    """What a suite compares with that is in no row.

    Attributes:
        rows: sound rows of this interval.
        rows_before: rows of the newest interval before it that is done; None for a first one.
        least_share: share of `rows_before` that must be there.
        ages_s: delivered table to how old its newest delivery is at the end of the interval, in seconds.
        max_ages_s: delivered table to how old it may be, of those that have a limit.
    """

    rows: int
    rows_before: int | None
    least_share: float
    ages_s: dict[str, float]
    max_ages_s: dict[str, int]


def require(rows: DataFrame, view: View, bounds: Bounds) -> tuple[int, int]:
    """Runs the suite of a view over its sound rows.

    Returns:
        expectations met, and rows looked at.

    Raises:
        NotPublished: names every expectation that is not met, its column, and examples.
    """
    frame = _frame(rows, view, bounds.rows)
    # One row of facts, so that a failure of them reads like any other.
    facts = pd.DataFrame([{"rows": bounds.rows} | {f"age_s({t})": age for t, age in bounds.ages_s.items()}])
    failed, met = evaluate(f"{view.name} facts", facts, _fact_suite(bounds))
    if len(frame):
        more, count = evaluate(view.name, frame, _row_suite(view))
        failed, met = failed + more, met + count
    if failed:
        raise NotPublished(view.name, failed)
    return met, len(frame)


def _fact_suite(bounds: Bounds) -> list[Any]:
    gxe = great_expectations().expectations
    least = (bounds.rows_before or 0) * bounds.least_share
    suite = [gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=least)]
    for table, most in bounds.max_ages_s.items():
        suite.append(gxe.ExpectColumnValuesToBeBetween(column=f"age_s({table})", min_value=0, max_value=most))
    return suite


def _row_suite(view: View) -> list[Any]:
    gxe = great_expectations().expectations
    suite: list[Any] = [
        gxe.ExpectColumnValuesToNotBeNull(column=view.join_key),
        gxe.ExpectColumnValuesToBeUnique(column=view.join_key),
    ]
    for f in view.features:
        if f.null_share < 1:
            suite.append(gxe.ExpectColumnValuesToNotBeNull(column=f.name, mostly=1 - f.null_share))
        if f.role == "embedding" or f.dtype in ("float32", "float64"):
            suite.append(gxe.ExpectColumnValuesToBeInSet(column=f"finite({f.name})", value_set=[1]))
        if f.role == "embedding":
            suite.append(gxe.ExpectColumnValuesToBeBetween(column=f.name, min_value=f.width, max_value=f.width))
        elif f.role == "list":
            suite.append(gxe.ExpectColumnValuesToBeBetween(column=f.name, min_value=0, max_value=f.width))
        elif f.role == "dense" and (f.low, f.high) != (None, None):
            suite.append(gxe.ExpectColumnValuesToBeBetween(column=f.name, min_value=f.low, max_value=f.high))
    return suite


def _frame(rows: DataFrame, view: View, count: int) -> pd.DataFrame:
    """Numbers and texts as they are, of lists and embeddings the length, and whether numbers are finite."""
    every = -(-count // MOST_ROWS)
    if every > 1:
        rows = rows.where(F.pmod(F.xxhash64(view.join_key), F.lit(every)) == 0)
    columns = [F.col(view.join_key)]
    for f in view.features:
        vector = f.role in ("list", "embedding")
        columns.append((F.size(f.name) if vector else F.col(f.name)).alias(f.name))
        if f.role == "embedding" or f.dtype in ("float32", "float64"):
            columns.append(finite(f).cast("int").alias(f"finite({f.name})"))
    return rows.select(*columns).toArrow().to_pandas()
