"""One impression as the archive has it: every event, and what the batch form says of its label."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from adfeast.contract.events import CLICKS, EVENT_ID, IMPRESSION_ID, IMPRESSIONS
from adfeast.contract.label_states import Label, LabelRules, Refused
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from adfeast.watermarks import archived_until
from training.data.label_states import MS, clicks_without_impression, events_in_ms, label_states
from training.data.spark import spark_session
from training.data.tables import between_times, read_events


@dataclass(frozen=True)
class ArchivedEvent:
    """A message of the archive.

    Attributes:
        kind: the topic.
    """

    ms: int
    kind: str
    event_id: str


@dataclass(frozen=True)
class BatchLabel:
    """What the archive says.

    Attributes:
        events: all of the impression's, repetitions too, by time.
        watermark_ms: all events up to this time are archived; None when nobody has said so.
        label: None when the archive has no such impression.
        refused: clicks that belong to no impression.
    """

    events: tuple[ArchivedEvent, ...]
    watermark_ms: int | None
    label: Label | None
    refused: tuple[Refused, ...]

    def is_complete(self, rules: LabelRules) -> bool:
        """Whether no event can come any more that changes the label."""
        if self.label is None or self.watermark_ms is None:
            return False
        return self.watermark_ms >= self.label.shown_ms + rules.impression_kept_ms


def batch_label(
    settings: Settings, impression_id: str, rules: LabelRules, since: datetime, until: datetime
) -> BatchLabel:
    """Looks through the archived events with since <= time < until."""
    spark, definitions = spark_session(settings), load_definitions(settings)

    def own(topic: str, column: str) -> DataFrame:
        events = read_events(spark, settings, topic, definitions.events[topic])
        mine = between_times(events, since, until).where(F.col(column) == F.lit(impression_id))
        return events_in_ms(mine).select(*dict.fromkeys((column, EVENT_ID)), MS).persist()

    impressions, clicks = own(IMPRESSIONS, EVENT_ID), own(CLICKS, IMPRESSION_ID)
    events = [
        ArchivedEvent(row[MS], topic, row[EVENT_ID])
        for topic, frame in ((IMPRESSIONS, impressions), (CLICKS, clicks))
        for row in frame.collect()
    ]
    known = archived_until(settings)
    watermark = min(known[IMPRESSIONS], known[CLICKS]) if {IMPRESSIONS, CLICKS} <= known.keys() else None
    found = label_states(impressions, clicks, rules, watermark or 0).collect()
    lost = clicks_without_impression(impressions, clicks, rules).collect()
    return BatchLabel(
        tuple(sorted(events, key=lambda e: (e.ms, e.kind, e.event_id))),
        watermark,
        Label(*found[0]) if found else None,
        tuple(Refused(*row) for row in sorted(lost)),
    )
