"""Tells the sound rows of a batch view from those that are put aside, each with its reasons.

One bad row must not stop a view, and it must not be served. Of rows that share a key none is kept: nothing in them says
which is right. What is put aside lies in the lake below `quarantine/<view>/as_of=<time>/` with a column `reason`.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812

from adfeast.contract.definitions import Feature, View
from training.errors import BadFeatureRows

REASON = "reason"


def with_reason(rows: DataFrame, view: View) -> DataFrame:
    """The rows and `reason`, null for a sound one; several reasons stand in one text."""
    key = F.col(view.join_key)
    same = F.count("*").over(Window.partitionBy(key))
    reasons = [_if(key.isNull() | (key == ""), f"no {view.join_key}")]
    reasons.append(_if(key.isNotNull() & (same > 1), f"{view.join_key} of several rows"))
    for f in view.features:
        reasons += _reasons(f)
    text = F.concat_ws("; ", *reasons)  # leaves out what is null
    return rows.withColumn(REASON, F.when(text != "", text))


def require_few(view: View, rows: int, reasons: dict[str, int]) -> None:
    """Refuses a view of which more is unsound than it allows.

    Args:
        rows: all of them, sound or not.
        reasons: text to number of rows put aside for it.

    Raises:
        BadFeatureRows: names the reasons, the most frequent first.
    """
    bad = sum(reasons.values())
    if bad > view.bad_rows * rows:
        most = "; ".join(f"{text} ({n} rows)" for text, n in sorted(reasons.items(), key=lambda r: -r[1])[:5])
        raise BadFeatureRows(
            f"view {view.name!r}: {bad} of {rows} rows are unsound, more than bad_rows={view.bad_rows:g}: {most}",
            reasons,
        )


def finite(f: Feature) -> Column:
    """Whether every number of a value is there and finite; null for a null value."""
    column = F.col(f.name)
    if f.role == "embedding":
        return F.forall(column, lambda x: x.isNotNull() & _is_finite(x))
    return _is_finite(column)


def _reasons(f: Feature) -> list[Column]:
    column = F.col(f.name)
    if f.role == "embedding":
        return [
            _if(F.size(column) != f.width, f"{f.name} has not {f.width} numbers"),
            _if(~finite(f), f"{f.name} has a number that is not finite"),
        ]
    if f.role == "list":
        return [
            _if(F.size(column) > f.width, f"{f.name} has more than {f.width} ids"),
            _if(F.exists(column, lambda x: x.isNull()), f"{f.name} has a null"),
        ]
    found, number = [], F.lit(True)
    if f.dtype in ("float32", "float64"):
        number = finite(f)
        found.append(_if(~number, f"{f.name} is not finite"))
    if f.low is not None:
        found.append(_if(number & (column < f.low), f"{f.name} is below {f.low:g}"))
    if f.high is not None:
        found.append(_if(number & (column > f.high), f"{f.name} is above {f.high:g}"))
    return found


def _is_finite(x: Column) -> Column:
    return ~F.isnan(x) & (F.abs(x) != float("inf"))


def _if(condition: Column, text: str) -> Column:
    return F.when(condition, F.lit(text))
