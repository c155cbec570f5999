"""The lake as Spark sees it: delivered tables and archived events as data frames, folders written and replaced."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (Spark's own convention)
from pyspark.sql import types as T  # noqa: N812

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EVENT_ID, EVENT_TIME
from adfeast.contract.ids import SPARK_HASH_ID
from adfeast.lake import filesystem, parquet_files
from adfeast.settings import Settings
from training.data.spark import spark_url
from training.errors import MissingTable

DATE = "date"
STAGING = "_staging"
_SPARK: dict[str, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "long": T.LongType(),
    "float": T.FloatType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "bytes": T.BinaryType(),
}


def register_lake(spark: SparkSession, settings: Settings, definitions: Definitions) -> None:
    """Makes every delivered table and every event topic a temporary view of its name, and `hash_id` a function.

    Raises:
        MissingTable: a delivered table has no data.
    """
    spark.sql(SPARK_HASH_ID)
    for name, table in definitions.tables.items():
        url = table.url
        fs, path = filesystem(settings, url)
        if not parquet_files(fs, path):
            raise MissingTable(f"table {name!r} has no Parquet files in {url}: deliver it before the batch job runs")
        spark.read.option("mergeSchema", "true").parquet(spark_url(url)).createOrReplaceTempView(name)
    for topic, schema in definitions.events.items():
        read_events(spark, settings, topic, schema).dropDuplicates([EVENT_ID]).createOrReplaceTempView(topic)


def read_events(spark: SparkSession, settings: Settings, topic: str, schema: dict[str, Any]) -> DataFrame:
    """The archive of a topic with the columns of its Avro schema and `date`; empty where nothing was archived yet.

    A column that older files lack is null.
    """
    columns = [T.StructField(f["name"], _type(f["type"])) for f in schema["fields"]]
    struct = T.StructType([*columns, T.StructField(DATE, T.DateType())])
    url = settings.lake_path("events", topic)
    fs, path = filesystem(settings, url)
    if not parquet_files(fs, path):
        return spark.createDataFrame([], struct)
    return spark.read.schema(struct).parquet(spark_url(url))


def replace_folder(frame: DataFrame, settings: Settings, url: str) -> None:
    """Writes `frame` as Parquet into the folder `url`, in the place of what stands there.

    In a local lake readers see the old rows or the new ones. S3 has no rename: there the folder has no data while it is
    written, and whoever reads must wait for the run ledger.
    """
    if url.startswith("s3://"):
        frame.write.mode("overwrite").parquet(spark_url(url))
        return
    staged = Path(url).parent / STAGING / f"{Path(url).name}-{uuid.uuid4().hex}"
    frame.write.parquet(str(staged))
    publish_local(staged, Path(url))


def publish_local(staged: Path, target: Path) -> None:
    """Moves a finished folder to its place; what stood there goes away."""
    old = staged.with_name(f"{staged.name}-old")
    if target.exists():
        target.rename(old)
    staged.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def between_dates(frame: DataFrame, first: Any, last: Any) -> DataFrame:
    """Only the partitions of the UTC dates from `first` to `last`, both included."""
    return frame.where(F.col(DATE).between(F.lit(first.date()), F.lit(last.date())))


def between_times(frame: DataFrame, start: Any, end: Any) -> DataFrame:
    """Only events with start <= event time < end."""
    own = between_dates(frame, start, end)
    return own.where((F.col(EVENT_TIME) >= F.lit(start)) & (F.col(EVENT_TIME) < F.lit(end)))


def make_folder(fs: pafs.FileSystem, path: str) -> None:
    """Makes a folder where the file system has folders."""
    if isinstance(fs, pafs.LocalFileSystem):
        fs.create_dir(path, recursive=True)


def _type(kind: Any) -> T.DataType:
    if isinstance(kind, dict):
        if kind.get("logicalType", "").startswith("timestamp"):
            return T.TimestampType()
        if kind["type"] == "array":
            return T.ArrayType(_type(kind["items"]))
        kind = kind["type"]
    return _SPARK[kind]
