"""Spark says of thousands of histories what the naive twin says; and the label join has its 1s where it has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from adfeast.clock import to_datetime, to_ms
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_TIME, IMPRESSIONS
from adfeast.contract.label_states import MOST_CLICKS, PROVISIONAL, STATES, LabelRules
from adfeast.settings import Settings
from tests.parity.label_histories import RULES, histories
from tests.parity.naive_labels import FOREVER, Seen, clicks, label_of, without_impression
from training.data.label_states import clicks_without_impression, events_in_ms, label_states
from training.data.labelled import label

COLUMNS = "impression_id string, event_id string, ms long"
TIME = {"type": "long", "logicalType": "timestamp-millis"}


@pytest.mark.parametrize("watermark", [1_055, FOREVER])
def test_spark_says_of_each_history_what_the_twin_says(spark: SparkSession, watermark: int) -> None:
    frames, wanted = [], set()
    for rules, mine in _by_rules():
        frames.append(label_states(*_frames(spark, mine), rules, watermark))
        wanted |= {astuple(row) for name, events in mine.items() if (row := label_of(name, events, rules, watermark))}
    rows = reduce(DataFrame.unionAll, frames).collect()
    assert len(rows) == len(wanted) > 4_000
    assert {tuple(row) for row in rows} == wanted
    assert {row["state"] for row in rows} == set(STATES) - ({PROVISIONAL} if watermark == FOREVER else set())


def test_spark_loses_no_click(spark: SparkSession) -> None:
    frames, wanted = [], set()
    for rules, mine in _by_rules():
        frames.append(clicks_without_impression(*_frames(spark, mine), rules))
        wanted |= {astuple(r)[:3] for name, events in mine.items() for r in without_impression(name, events, rules)}
    assert {tuple(row) for row in reduce(DataFrame.unionAll, frames).collect()} == wanted


def _by_rules() -> Iterator[tuple[LabelRules, dict[str, list[Seen]]]]:
    """What both can hold: the stream alone has a limit."""
    for rules in RULES:
        mine = ((n, h.events) for n, h in enumerate(histories()) if h.rules == rules)
        yield rules, {f"i{n}": events for n, events in mine if len(clicks(events)) <= MOST_CLICKS}


def _frames(spark: SparkSession, events: dict[str, list[Any]]) -> tuple[DataFrame, DataFrame]:
    rows = [(name, e.click_id, e.ms) for name, each in events.items() for e in each]
    impressions = spark.createDataFrame([(i, i, ms) for i, c, ms in rows if c is None], COLUMNS)
    clicked = spark.createDataFrame([(i, c, ms) for i, c, ms in rows if c is not None], COLUMNS)
    return impressions, clicked


def test_a_label_is_1_where_the_label_join_has_a_1(spark: SparkSession, tmp_path: Any) -> None:
    window, day = timedelta(milliseconds=60), datetime(2024, 1, 1, tzinfo=UTC)
    rules = LabelRules(60, 20, 4)
    # What was sent with two times has either in the label join.
    mine = {f"i{n}": h.events for n, h in enumerate(histories()[:300]) if h.rules == rules and h.timely}
    settings = Settings(lake=str(tmp_path), local=tmp_path)
    ids = "impression_id as event_id", "concat(impression_id, event_id) as event_id"
    for topic, frame, identity in zip((IMPRESSIONS, CLICKS), _frames(spark, mine), ids, strict=True):
        timed = frame.selectExpr(identity, "impression_id", f"timestamp_millis(ms + {to_ms(day)}) as {EVENT_TIME}")
        timed.write.parquet(f"{settings.lake_path('events', topic)}/date={day.date()}")
    text = [{"name": "event_id", "type": "string"}, {"name": EVENT_TIME, "type": TIME}]
    schemas = {IMPRESSIONS: {"fields": text}, CLICKS: {"fields": [*text, {"name": "impression_id", "type": "string"}]}}
    definitions = Definitions("p", {}, {}, schemas, {}, {}, {})
    end = day + timedelta(hours=1)
    joined, _ = label(spark, settings, definitions, day, end, window, end + window)
    wanted = {(n, row.label) for n, e in mine.items() if (row := label_of(n, e, rules))}
    assert {(r["event_id"], r["label"]) for r in joined.collect()} == wanted
    assert {to_datetime(r["ms"]).date() for r in events_in_ms(joined).select("ms").collect()} == {day.date()}
