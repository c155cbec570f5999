"""Computes the rows of a batch view from the lake: its own query, with `:as_of` bound to the end of the interval."""

from __future__ import annotations

from datetime import datetime

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T  # noqa: N812

from adfeast.contract.definitions import Definitions, View
from adfeast.settings import Settings
from training.data.tables import register_lake
from training.errors import BadQuery, NotPublished, UnknownTable

TYPES: dict[str, T.DataType] = {
    "string": T.StringType(),
    "int64": T.LongType(),
    "float32": T.FloatType(),
    "float64": T.DoubleType(),
    "int64_list": T.ArrayType(T.LongType()),
    "float32_list": T.ArrayType(T.FloatType()),
}


def compute(
    spark: SparkSession, settings: Settings, definitions: Definitions, view: View, as_of: datetime
) -> DataFrame:
    """The join key and the features of a batch view, as its query returns them; nothing runs before it is asked for.

    Args:
        as_of: end of the interval, aware; the query must not see later events.

    Raises:
        UnknownTable: the query reads what nobody declares.
        MissingTable: a delivered table has no data.
        BadQuery: the query cannot run.
        NotPublished: a column is missing, has another type, or is not declared.
    """
    require_known(view, definitions)
    register_lake(spark, settings, definitions, view.reads)
    try:
        rows = spark.sql(view.query, args={"as_of": as_of})
    except AnalysisException as error:
        raise BadQuery(f"query of view {view.name!r} cannot run: {error}") from error
    wanted = {view.join_key: TYPES["string"]} | {f.name: TYPES[f.dtype] for f in view.features}
    found = {f.name: f.dataType.simpleString() for f in rows.schema.fields}
    problems = [f"expect_column_to_exist({n}): {t.simpleString()}" for n, t in wanted.items() if n not in found]
    problems += [
        f"expect_table_columns_to_match_set({n}): the view does not declare it" for n in found if n not in wanted
    ]
    problems += [
        f"expect_column_values_to_be_of_type({n}, {t.simpleString()}): the query returns {found[n]} (CAST it)"
        for n, t in wanted.items()
        if n in found and found[n] != t.simpleString()
    ]
    if problems:
        raise NotPublished(view.name, problems)
    return rows.select(*wanted)


def require_known(view: View, definitions: Definitions) -> None:
    """Raises: UnknownTable: the view reads what is neither an event topic nor a delivered table."""
    unknown = sorted(set(view.reads) - set(definitions.events) - set(definitions.tables))
    if unknown:
        raise UnknownTable(
            f"view {view.name!r} reads {', '.join(map(repr, unknown))}, which is neither an event topic "
            f"({', '.join(sorted(definitions.events)) or 'none'}) nor a delivered table "
            f"({', '.join(sorted(definitions.tables)) or 'none'}): declare it in feature_repo/sources.py"
        )
