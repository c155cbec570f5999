"""The states of labels from the archive: what the stream job says of each impression, from all of its events at once.

A label is 1 in just the rows in which the label join (training/data/labelled.py) has a 1: a click came within the
window. The states say more: since when it is so, how sure it is, and what else came. docs/labels.md explains them.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from adfeast.contract.events import EVENT_ID, EVENT_TIME, IMPRESSION_ID
from adfeast.contract.label_states import LATE_POSITIVE, NEGATIVE, POSITIVE, PROVISIONAL, LabelRules

MS = "ms"


def events_in_ms(events: DataFrame) -> DataFrame:
    """Archived events with their time in milliseconds as `ms`."""
    return events.withColumn(MS, F.unix_millis(EVENT_TIME))


def label_states(impressions: DataFrame, clicks: DataFrame, rules: LabelRules, watermark_ms: int) -> DataFrame:
    """A row an impression with the fields of `adfeast.contract.label_states.Label`, in this order.

    Args:
        impressions: every message, also repeated ones: `event_id`, `ms`.
        clicks: `event_id`, `impression_id`, `ms`.
        watermark_ms: all events up to this time are there.
    """
    shown, clicked = F.col("shown_ms"), F.col("click_ms")
    first = impressions.groupBy(F.col(EVENT_ID).alias(IMPRESSION_ID)).agg(
        F.min(MS).alias("shown_ms"), (F.count("*") - 1).alias("duplicate_impressions")
    )
    found = first.join(_each_once(clicks), IMPRESSION_ID, "left")
    own = _belongs(clicked, shown, rules)  # null without a click
    closes = shown + rules.window_ms
    late = own & (clicked > closes)
    hit = own & clicked.between(shown, closes)
    keys = (IMPRESSION_ID, "shown_ms", "duplicate_impressions")
    counted = found.groupBy(*keys).agg(
        F.min(F.when(hit, clicked)).alias("hit_ms"),
        F.min(F.when(late, clicked)).alias("late_ms"),
        F.count_if(own).alias("clicks"),
        F.coalesce(F.sum(F.when(own, F.col("repeated"))), F.lit(0)).alias("duplicate_clicks"),
        F.count_if(own & (clicked < shown)).alias("clicks_before"),
        F.count_if(late).alias("clicks_late"),
    )
    step = _steps_passed(shown, rules, watermark_ms)
    is_hit, is_open = F.col("hit_ms").isNotNull(), step < rules.steps
    is_late = F.col("late_ms").isNotNull()
    state = F.when(is_hit, POSITIVE).when(is_open, PROVISIONAL).when(is_late, LATE_POSITIVE).otherwise(NEGATIVE)
    when = F.when(is_hit, F.col("hit_ms")).when(is_open, F.lit(None)).otherwise(F.col("late_ms"))
    ages = F.array(*(F.lit(rules.step_ms(n)) for n in range(rules.steps + 1)))
    return counted.select(
        IMPRESSION_ID,
        state.alias("state"),
        is_hit.cast("int").alias("label"),
        F.when(~is_hit & is_open, step / rules.steps).otherwise(1.0).alias("weight"),
        F.coalesce(when, shown + ages[step]).alias("at_ms"),
        "shown_ms",
        when.alias("clicked_ms"),
        "duplicate_impressions",
        "clicks",
        "duplicate_clicks",
        "clicks_before",
        "clicks_late",
    )


def clicks_without_impression(impressions: DataFrame, clicks: DataFrame, rules: LabelRules) -> DataFrame:
    """The clicks that belong to no impression, each once: `impression_id`, `event_id`, `at_ms`."""
    shown = impressions.groupBy(F.col(EVENT_ID).alias(IMPRESSION_ID)).agg(F.min(MS).alias("shown_ms"))
    found = _each_once(clicks).join(shown, IMPRESSION_ID, "left")
    own = F.coalesce(_belongs(F.col("click_ms"), F.col("shown_ms"), rules), F.lit(False))
    return found.where(~own).select(IMPRESSION_ID, EVENT_ID, F.col("click_ms").alias("at_ms"))


def _each_once(clicks: DataFrame) -> DataFrame:
    return clicks.groupBy(IMPRESSION_ID, EVENT_ID).agg(
        F.min(MS).alias("click_ms"), (F.count("*") - 1).alias("repeated")
    )


def _belongs(clicked: Column, shown: Column, rules: LabelRules) -> Column:
    return clicked.between(shown - rules.grace_ms, shown + rules.impression_kept_ms)


def _steps_passed(shown: Column, rules: LabelRules, watermark_ms: int) -> Column:
    passed = [(F.lit(watermark_ms) >= shown + rules.step_ms(n)).cast("int") for n in range(1, rules.steps + 1)]
    return reduce(lambda a, b: a + b, passed)
