"""Spark says of thousands of histories what the naive twin says; and the label join has its 1s where it has them."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from adfeast.clock import to_datetime
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_TIME, IMPRESSIONS
from adfeast.contract.label_states import MOST_CLICKS, STATES, LabelRules
from adfeast.settings import Settings
from tests.parity.label_histories import RULES, histories
from tests.parity.naive_labels import FOREVER, clicks, label_of, without_impression
from training.data.label_states import clicks_without_impression, events_in_ms, label_states
from training.data.labelled import label

COLUMNS = "impression_id string, event_id string, ms long"
TIME = {"type": "long", "logicalType": "timestamp-millis"}


@pytest.mark.parametrize("rules", RULES, ids=lambda r: r.text)
def test_spark_says_of_each_history_what_the_twin_says(spark: SparkSession, rules: LabelRules) -> None:
    mine = {f"i{n}": h.events for n, h in enumerate(histories()) if h.rules == rules}
    mine = {name: events for name, events in mine.items() if len(clicks(events)) <= MOST_CLICKS}
    impressions, clicked = _frames(spark, mine)
    for watermark in (1_055, FOREVER):
        rows = label_states(impressions, clicked, rules, watermark).collect()
        wanted = {row for name, events in mine.items() if (row := label_of(name, events, rules, watermark))}
        assert {tuple(row) for row in rows} == {astuple(row) for row in wanted}
        assert {row["state"] for row in rows} == set(STATES) or watermark < FOREVER or rules.grace_ms == 0
    lost = {tuple(row) for row in clicks_without_impression(impressions, clicked, rules).collect()}
    assert lost == {astuple(r)[:3] for name, events in mine.items() for r in without_impression(name, events, rules)}


def _frames(spark: SparkSession, events: dict[str, list[Any]]) -> tuple[DataFrame, DataFrame]:
    rows = [(name, e.click_id, e.ms) for name, each in events.items() for e in each]
    impressions = spark.createDataFrame([(i, i, ms) for i, c, ms in rows if c is None], COLUMNS)
    # Ids are those of one stream of clicks.
    clicked = spark.createDataFrame([(i, f"{c}", ms) for i, c, ms in rows if c is not None], COLUMNS)
    return impressions, clicked


def test_a_label_is_1_where_the_label_join_has_a_1(spark: SparkSession, tmp_path: Any) -> None:
    window, day = timedelta(milliseconds=60), datetime(2024, 1, 1, tzinfo=UTC)
    rules = LabelRules(60, 20, 4)
    mine = {f"i{n}": h.events for n, h in enumerate(histories()) if n < 300 and h.rules == rules}
    settings = Settings(lake=str(tmp_path), local=tmp_path)
    # An impression that was sent with two times has either in the label join.
    mine = {n: e for n, e in mine.items() if len({x.ms for x in e if x.click_id is None}) == 1}
    frames = _frames(spark, mine)
    for topic, frame in zip((IMPRESSIONS, CLICKS), frames, strict=True):
        base = int(day.timestamp() * 1000)
        timed = frame.selectExpr(
            *(
                ("impression_id as event_id",)
                if topic == IMPRESSIONS
                else ("concat(impression_id, event_id) as event_id", "impression_id")
            ),
            f"timestamp_millis(ms + {base}) as {EVENT_TIME}",
        )
        timed.write.parquet(f"{settings.lake_path('events', topic)}/date={day.date()}")
    text = [{"name": "event_id", "type": "string"}, {"name": EVENT_TIME, "type": TIME}]
    schemas = {IMPRESSIONS: {"fields": text}, CLICKS: {"fields": [*text, {"name": "impression_id", "type": "string"}]}}
    definitions = Definitions("p", {}, {}, schemas, {}, {}, {})
    end = day + timedelta(hours=1)
    joined, _ = label(spark, settings, definitions, day, end, window, end + window)
    wanted = {(n, row.label) for n, e in mine.items() if (row := label_of(n, e, rules))}
    assert {(r["event_id"], r["label"]) for r in joined.collect()} == wanted
    assert {to_datetime(r["ms"]).date() for r in events_in_ms(joined).select("ms").collect()} == {day.date()}
