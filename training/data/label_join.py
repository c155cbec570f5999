"""Joins what was shown with what the model was given and what was clicked: the training set.

An impression is a row. Its inputs are those of the logged snapshot of its request, bit for bit; nothing is
recomputed. Its label is 1 when a click on it happened at most the label window after it, else 0. Only impressions
whose window has closed count, so a 0 is final. The report counts what was left out, and why.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from adfeast.contract import snapshots
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_ID, EVENT_TIME, IMPRESSION_ID, IMPRESSIONS, REQUEST_ID
from adfeast.contract.signature import AD, USER, Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.lake import filesystem
from adfeast.settings import Settings
from training.data.decode import SHOWN, writer
from training.data.spark import spark_session
from training.data.tables import STAGING, between_dates, between_times, make_folder, publish_local, read_events
from training.errors import NothingToLabel

log = logging.getLogger(__name__)
# A snapshot and its impression may fall on the two sides of midnight, and an auction is over within the hour.
SLACK = timedelta(hours=1)
PARTS = 4


@dataclass(frozen=True)
class TrainingSet:
    """A written training set.

    Attributes:
        path: folder of Parquet files.
        counts: rows written, and what was counted on the way.
    """

    path: str
    counts: dict[str, int]


def run(
    settings: Settings,
    start: datetime,
    end: datetime,
    label_window: timedelta,
    name: str,
    as_of: datetime,
    service: str | None = None,
) -> TrainingSet:
    """Labels the impressions with start <= time < end.

    Args:
        label_window: a click at most this long after the impression makes it positive.
        as_of: what has not happened by then is not known; impressions whose window is open then are left out.
        service: feature service whose snapshots are read; default: the platform's.

    Returns:
        the set's folder: `training_sets/<name>` in a local lake, where it replaces a set of that name at
        once, or a folder of its own below it on S3.

    Raises:
        NothingToLabel: no row came out; the counts say why.
    """
    spark = spark_session(settings)
    definitions = load_definitions(settings)
    signature = definitions.signature(service or settings.feature_service)
    labelled, counts = _label(spark, settings, definitions, start, end, label_window, as_of)
    labelled = labelled.persist()
    shown = _shown(spark, settings, labelled, start, end)
    counts |= _count_missing(shown, signature)

    final = settings.lake_path("training_sets", name)
    url = f"{final}/{uuid.uuid4().hex}" if final.startswith("s3://") else _staged(final)
    fs, path = filesystem(settings, url)
    make_folder(fs, path)
    own = shown.where(F.col("signature_hash") == signature.hash).drop("matched")
    own = own.repartition(PARTS, REQUEST_ID).sortWithinPartitions(EVENT_TIME, REQUEST_ID)
    ours, theirs = definitions.entities[USER], definitions.entities[AD]
    write = writer(settings, url, signature, ours, theirs)
    written = own.mapInArrow(write, "rows long, positives long, not_candidates long").agg(
        F.sum("rows").alias("rows"), F.sum("positives").alias("positives"), F.sum("not_candidates").alias("missing")
    )
    sums = written.first().asDict()
    labelled.unpersist()
    counts |= {"rows": sums["rows"] or 0, "positives": sums["positives"] or 0}
    counts["impressions_without_snapshot"] += sums["missing"] or 0
    log.info("training set %s: %s", name, counts)
    if not counts["rows"]:
        raise NothingToLabel(f"no training row from {start.isoformat()} to {end.isoformat()}: {counts}")
    if not final.startswith("s3://"):
        publish_local(Path(url), Path(final))
        url = final
    return TrainingSet(url, counts)


def _label(
    spark: SparkSession,
    settings: Settings,
    definitions: Definitions,
    start: datetime,
    end: datetime,
    window: timedelta,
    as_of: datetime,
) -> tuple[DataFrame, dict[str, int]]:
    """Closed impressions with their label, and what was counted."""
    impressions = read_events(spark, settings, IMPRESSIONS, definitions.events[IMPRESSIONS])
    impressions = between_times(impressions, start - window, end + window)
    clicks = between_times(read_events(spark, settings, CLICKS, definitions.events[CLICKS]), start, end + window)
    clicks = clicks.where(F.col(EVENT_TIME) <= F.lit(as_of))
    known, unique = impressions.dropDuplicates([EVENT_ID]), clicks.dropDuplicates([EVENT_ID])
    first = unique.select(
        F.col(IMPRESSION_ID).alias(EVENT_ID), F.col(EVENT_TIME).alias("clicked"), F.col(EVENT_ID).alias("click_id")
    )
    # Clicks of impressions shown before `start` find theirs too, so that only the lost ones are counted as such.
    matched = first.join(known.select(EVENT_ID, F.col(EVENT_TIME).alias("shown")), EVENT_ID, "left")
    late = (F.col("clicked") < F.col("shown")) | (F.col("clicked") > F.col("shown") + F.lit(window))
    click_counts = matched.agg(
        F.count("*").alias("clicks"),
        F.count_if(F.col("shown").isNull()).alias("clicks_without_impression"),
        F.count_if(late).alias("clicks_outside_window"),
    )
    hits = matched.where(F.col("shown").isNotNull() & ~late).select(EVENT_ID).distinct().withColumn("hit", F.lit(1))
    inside = (F.col(EVENT_TIME) >= F.lit(start)) & (F.col(EVENT_TIME) < F.lit(end))
    asked = known.where(inside)
    is_open = F.col(EVENT_TIME) + F.lit(window) > F.lit(as_of)
    counts = (
        asked.agg(F.count("*").alias("impressions"), F.count_if(is_open).alias("impressions_open")).first().asDict()
    )
    counts |= click_counts.first().asDict()
    counts["duplicate_impressions"] = impressions.where(inside).count() - counts["impressions"]
    counts["duplicate_clicks"] = clicks.count() - counts["clicks"]
    labelled = asked.where(~is_open).join(hits, EVENT_ID, "left")
    return labelled.withColumn("label", F.coalesce("hit", F.lit(0)).cast("byte")), counts


def _shown(spark: SparkSession, settings: Settings, labelled: DataFrame, start: datetime, end: datetime) -> DataFrame:
    """One row a request: the impressions shown of it, and its snapshot where there is one."""
    groups = labelled.groupBy(REQUEST_ID).agg(
        F.array_sort(F.collect_list(F.struct(*SHOWN))).alias("shown"), F.min(EVENT_TIME).alias(EVENT_TIME)
    )
    served = read_events(spark, settings, snapshots.TOPIC, snapshots.SCHEMA)
    served = between_dates(served, start - SLACK, end + SLACK).drop(EVENT_TIME, "date").dropDuplicates([REQUEST_ID])
    return groups.join(served.withColumn("matched", F.lit(True)), REQUEST_ID, "left")


def _count_missing(shown: DataFrame, signature: Signature) -> dict[str, int]:
    size = F.size("shown")
    other = F.col("signature_hash") != signature.hash
    row = shown.agg(
        F.coalesce(F.sum(F.when(F.col("matched").isNull(), size)), F.lit(0)).alias("impressions_without_snapshot"),
        F.coalesce(F.sum(F.when(other, size)), F.lit(0)).alias("impressions_of_other_signature"),
    )
    return dict(row.first().asDict())


def _staged(final: str) -> str:
    return str(Path(final).parent / STAGING / f"{Path(final).name}-{uuid.uuid4().hex}")
