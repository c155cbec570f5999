"""Computes the batch views from the lake: each view's own query, with `:as_of` bound to the end of the interval.

Rows land in `features/<view>_table/as_of=<time>/`, replaced when the job runs again. `event_timestamp` is `as_of` and
not the time of the newest event seen, because that is the moment the values hold for.
"""

from __future__ import annotations

import logging
from datetime import datetime

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql import types as T  # noqa: N812

from adfeast.clock import Clock, to_datetime
from adfeast.contract.definitions import Feature, View
from adfeast.contract.events import EVENT_TIME
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from training.data.spark import spark_session
from training.data.tables import register_lake, replace_folder
from training.errors import BadFeatureRows

log = logging.getLogger(__name__)
CREATED_TIME = "created_timestamp"
TYPES: dict[str, T.DataType] = {
    "string": T.StringType(),
    "int64": T.LongType(),
    "float32": T.FloatType(),
    "float64": T.DoubleType(),
    "int64_list": T.ArrayType(T.LongType()),
    "float32_list": T.ArrayType(T.FloatType()),
}


def run(settings: Settings, as_of: datetime, clock: Clock) -> dict[str, int]:
    """Computes every batch view as of a moment.

    Args:
        as_of: end of the interval, aware; events after it are not seen.

    Returns:
        rows by view.

    Raises:
        MissingTable: a delivered table has no data.
        BadFeatureRows: a query fails or its rows do not fit the view; nothing of that view is published.
    """
    spark = spark_session(settings)
    definitions = load_definitions(settings)
    register_lake(spark, settings, definitions)
    made = to_datetime(clock.now_ms())
    written: dict[str, int] = {}
    for view in definitions.views.values():
        if view.kind != "batch":
            continue
        try:
            rows = spark.sql(view.query, args={"as_of": as_of})
        except AnalysisException as error:
            raise BadFeatureRows(f"query of view {view.name!r} cannot run: {error}") from error
        rows = _check_columns(rows, view).persist()
        try:
            written[view.name] = _check_rows(rows, view)
            stamped = rows.withColumn(EVENT_TIME, F.lit(as_of)).withColumn(CREATED_TIME, F.lit(made))
            replace_folder(stamped, settings, f"{view.table}/as_of={as_of:%Y%m%dT%H%M%S}")
        finally:
            rows.unpersist()
        log.info("view %s as of %s: %d rows", view.name, as_of.isoformat(), written[view.name])
    return written


def _check_columns(rows: DataFrame, view: View) -> DataFrame:
    wanted = {view.join_key: TYPES["string"]} | {f.name: TYPES[f.dtype] for f in view.features}
    found = {f.name: f.dataType for f in rows.schema.fields}
    problems = [f"lacks {n} ({t.simpleString()})" for n, t in wanted.items() if n not in found]
    problems += [f"returns {n}, which the view does not declare" for n in found if n not in wanted]
    problems += [
        f"returns {n} as {found[n].simpleString()} where the view declares {t.simpleString()} (CAST it)"
        for n, t in wanted.items()
        if n in found and found[n].simpleString() != t.simpleString()
    ]
    if problems:
        raise BadFeatureRows(f"query of view {view.name!r} " + "; ".join(problems))
    return rows.select(*wanted)


def _check_rows(rows: DataFrame, view: View) -> int:
    key = F.col(view.join_key)
    counts = [F.count("*").alias("rows"), F.count(key).alias("keys"), F.countDistinct(key).alias("distinct")]
    counts += [F.count_if(_misfit(f)).alias(f"bad_{i}") for i, f in enumerate(view.features)]
    seen = rows.agg(*counts).first().asDict()
    if seen["keys"] < seen["rows"]:
        raise BadFeatureRows(f"view {view.name!r}: {seen['rows'] - seen['keys']} rows have no {view.join_key}")
    if seen["distinct"] < seen["rows"]:
        raise BadFeatureRows(
            f"view {view.name!r}: {seen['rows']} rows for {seen['distinct']} values of {view.join_key}; "
            "its query must return one row a key"
        )
    for i, f in enumerate(view.features):
        if seen[f"bad_{i}"]:
            what = (
                f"{f.width} floats"
                if f.role == "embedding"
                else f"at most {f.width} ids"
                if f.role == "list"
                else "finite"
            )
            raise BadFeatureRows(f"view {view.name!r}: {f.name} is not {what} in {seen[f'bad_{i}']} rows")
    return int(seen["rows"])


def _misfit(f: Feature) -> Column:
    column = F.col(f.name)
    if f.role == "embedding":
        return F.size(column) != f.width
    if f.role == "list":
        return F.size(column) > f.width
    if f.dtype in ("float32", "float64"):
        return F.isnan(column) | (F.abs(column) == float("inf"))
    return F.lit(False)
