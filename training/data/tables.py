"""The lake as Spark sees it: delivered tables and archived events as data frames, folders written and replaced."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (Spark's own convention)
from pyspark.sql import types as T  # noqa: N812

from adfeast.contract.definitions import Definitions, Table
from adfeast.contract.events import EVENT_ID, EVENT_TIME
from adfeast.contract.ids import SPARK_HASH_ID
from adfeast.lake import STAGING, filesystem, open_table, parquet_files
from adfeast.settings import Settings
from training.data.spark import spark_url
from training.errors import MissingTable

DATE = "date"
_SPARK: dict[str, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "long": T.LongType(),
    "float": T.FloatType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "bytes": T.BinaryType(),
}


def register_lake(spark: SparkSession, settings: Settings, definitions: Definitions, names: Iterable[str]) -> None:
    """Makes delivered tables and event topics temporary views of their names, and `hash_id` a function.

    Raises:
        MissingTable: a delivered table has no data.
    """
    spark.sql(SPARK_HASH_ID)
    for name in names:
        if name in definitions.events:
            events = read_events(spark, settings, name, definitions.events[name])
            events.dropDuplicates([EVENT_ID]).createOrReplaceTempView(name)
            continue
        url = definitions.tables[name].url
        fs, path = filesystem(settings, url)
        if not parquet_files(fs, path):
            raise MissingTable(f"table {name!r} has no Parquet files in {url}: deliver it before the batch job runs")
        spark.read.option("mergeSchema", "true").parquet(spark_url(url)).createOrReplaceTempView(name)


def newest_delivery(settings: Settings, table: Table, end: datetime) -> datetime | None:
    """Event time of a delivered table's newest rows up to `end`; None when there are none."""
    newest: datetime | None = None
    opened = open_table(settings, table.url, {EVENT_TIME: pa.timestamp("us", "UTC")})
    scanner = pads.dataset(opened) if isinstance(opened, pa.Table) else opened
    for batch in scanner.to_batches(filter=pc.field(EVENT_TIME) <= pa.scalar(end, pa.timestamp("us", "UTC"))):
        found = pc.max(batch.column(EVENT_TIME)).as_py()
        newest = max(filter(None, (newest, found)), default=None)
    return newest


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


def replace_folder(frame: DataFrame, settings: Settings, url: str, check: Callable[[], None]) -> None:
    """Writes `frame` as Parquet into the folder `url`, in the place of what stands there.

    In a local lake readers see the old rows or the new ones. S3 has no rename: there the folder has no data while it is
    written, and whoever reads must wait for the run ledger.

    Args:
        check: called right before the folder is replaced; what it raises leaves the folder as it is.
    """
    if url.startswith("s3://"):
        check()
        frame.write.mode("overwrite").parquet(spark_url(url))
        return
    target = Path(url)
    staging = target.parent / STAGING
    staged = staging / f"{target.name}-{uuid.uuid4().hex}"
    try:
        frame.write.parquet(str(staged))
        check()
        publish_local(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    for left in staging.glob(f"{target.name}-*"):  # of runs that were killed
        shutil.rmtree(left, ignore_errors=True)


def remove_folder(settings: Settings, url: str) -> None:
    """Removes a folder and what is in it; nothing happens when it is not there."""
    fs, path = filesystem(settings, url)
    if fs.get_file_info(path).type == pafs.FileType.Directory:
        fs.delete_dir(path)


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
