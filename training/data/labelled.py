"""Impressions with their final label, and what was counted of impressions and clicks."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_ID, EVENT_TIME, IMPRESSION_ID, IMPRESSIONS
from adfeast.settings import Settings
from training.data.columns import ATTEMPT_ID, LABEL, POSITION
from training.data.tables import between_times, read_events


def label(
    spark: SparkSession,
    settings: Settings,
    definitions: Definitions,
    start: datetime,
    end: datetime,
    window: timedelta,
    as_of: datetime,
) -> tuple[DataFrame, dict[str, int]]:
    """Closed impressions with `label`, `attempt_id` ("" where it is not known) and `position`, and the counts."""
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
    labelled = labelled.withColumn(LABEL, F.coalesce("hit", F.lit(0)).cast("byte"))
    attempt = F.coalesce(ATTEMPT_ID, F.lit("")) if ATTEMPT_ID in labelled.columns else F.lit("")
    position = F.col(POSITION) if POSITION in labelled.columns else F.lit(None)
    return labelled.withColumn(ATTEMPT_ID, attempt).withColumn(POSITION, position.cast("int")), counts
