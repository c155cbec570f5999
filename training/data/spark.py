"""The Spark session of the batch jobs: as large as the settings say, quiet, in UTC, able to read an `s3://` lake."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.sql import SparkSession

from adfeast.settings import ROOT, Settings
from training.errors import BatchError


def spark_session(settings: Settings) -> SparkSession:
    """The process' session, made at the first call; S3 addresses and keys are those of the last call.

    Raises:
        BatchError: the lake is on S3 and the jars for it are not installed; the master does not take the job.
    """
    # Spark's Python workers are other processes; without this they are whatever `python3` the path holds. Executors of
    # a cluster look for it at the same path: they run in the driver's image.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    if _is_local(settings):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.appName("adfeast")
    for name, value in session_options(settings).items():
        builder = builder.config(name, value)
    jars = ROOT / ".local" / "jars" / "spark-s3"
    if found := sorted(jars.glob("*.jar")):
        # Not extraClassPath: that stands before Spark's own jars, and the SDK brings another Netty.
        builder = builder.config("spark.jars", ",".join(map(str, found)))
    elif settings.lake.startswith("s3://"):
        raise BatchError(f"lake={settings.lake} needs the S3 jars in {jars}: run `make setup`")
    with _stderr_in(settings.local / "logs" / "spark.log"):
        try:
            session: SparkSession = builder.getOrCreate()
        except Py4JError as error:
            said = str(error).partition("\n\tat ")[0]
            raise BatchError(f"no Spark with spark_master={settings.spark_master}: {said}") from error
    session.sparkContext.setLogLevel("ERROR")
    # The jobs name a failing query themselves; this logger prints a whole Java stack as one line of JSON.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    _use_s3(session, settings)
    return session


def session_options(settings: Settings) -> dict[str, str]:
    """What a session is configured with; a size that the settings leave open is left to Spark or to `spark-submit`."""
    options = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.spark_shuffle_partitions),
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "256",  # rows of snapshots are some 100 kB each
        "spark.sql.warehouse.dir": str(settings.local / "state" / "spark-warehouse"),
        "spark.driver.extraJavaOptions": "-Dlog4j2.level=ERROR",
    }
    if _is_local(settings):
        options["spark.local.dir"] = str(settings.local / "state" / "spark")
        # A local job is over before the optimizing compiler has paid for itself.
        options["spark.driver.extraJavaOptions"] += " -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    said = {
        "spark.master": settings.spark_master,
        "spark.driver.host": settings.spark_driver_host,
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.executor.memory": settings.spark_executor_memory,
        "spark.executor.cores": settings.spark_executor_cores,
        "spark.cores.max": settings.spark_max_cores,
    }
    return options | {name: str(value) for name, value in said.items() if value is not None}


def _is_local(settings: Settings) -> bool:
    return (settings.spark_master or "").startswith("local")


def spark_url(url: str) -> str:
    """A lake path as Spark names it."""
    return url.replace("s3://", "s3a://", 1) if url.startswith("s3://") else url


@contextmanager
def _stderr_in(file: Path) -> Iterator[None]:
    """The JVM that is started in the block, and its Python workers, write there what they would write to stderr.

    They say much that nobody can act on; what is wrong with a job is raised.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with file.open("ab") as log:
            os.dup2(log.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _use_s3(session: SparkSession, settings: Settings) -> None:
    hadoop = session.sparkContext._jsc.hadoopConfiguration()
    options = {
        "endpoint": settings.s3_endpoint,
        "endpoint.region": settings.aws_region,
        "access.key": settings.aws_access_key_id,
        "secret.key": settings.aws_secret_access_key,
        "path.style.access": "true" if settings.s3_endpoint else "false",
        "connection.ssl.enabled": str(not (settings.s3_endpoint or "https:").startswith("http:")).lower(),
    }
    if settings.aws_access_key_id:
        options["aws.credentials.provider"] = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"
    for name, value in options.items():
        if value is None:
            hadoop.unset(f"fs.s3a.{name}")
        else:
            hadoop.set(f"fs.s3a.{name}", value)
