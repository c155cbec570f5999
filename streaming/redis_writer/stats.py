"""What the Redis writer says of itself: rows a second, how fresh they are, what was refused."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from adfeast.clock import Clock, to_datetime
from streaming.redis_writer.batch import Batch

log = logging.getLogger(__name__)
PERIOD_MS = 10_000
SAMPLES = 100  # rows of a batch whose age is looked at


@dataclass
class ViewStats:
    """Counters of a view since the start: `rows` written, `dead` letters, the newest `row_ms` and `watermark_ms`."""

    rows: int = 0
    dead: int = 0
    row_ms: int = 0
    watermark_ms: int = 0


@dataclass
class WriterStats:
    """Counters since the start, freshness since the last report.

    Attributes:
        topics: of each feature topic.
        messages: read and acknowledged by Redis or as dead letters.
        older: rows not written because Redis holds a newer one.
        ages_ms: milliseconds from Kafka's timestamp of a row to Redis' acknowledgement.
    """

    clock: Clock
    topics: dict[str, ViewStats] = field(default_factory=lambda: defaultdict(ViewStats))
    messages: int = 0
    older: int = 0
    ages_ms: list[int] = field(default_factory=list)
    _since_ms: int = 0
    _reported: int = 0

    def written(self, messages: Sequence[Message], batch: Batch, older: int) -> None:
        """Counts a batch that Redis has acknowledged."""
        now = self.clock.now_ms()
        self._since_ms = self._since_ms or now
        self.messages += len(messages)
        self.older += older
        for layout, rows, sources in batch.rows:
            view = self.topics[sources[0].topic()]
            view.rows += len(rows.keys)
            view.row_ms = max(view.row_ms, rows.newest_ms)
            view.watermark_ms = layout.progress.ms
        for message, _ in batch.refused:
            self.topics[message.topic()].dead += 1
        step = 1 + len(messages) // SAMPLES
        self.ages_ms += [now - m.timestamp()[1] for m in messages[::step]]

    def report_when_due(self) -> None:
        """Logs how it goes every ten seconds in which rows came."""
        now = self.clock.now_ms()
        if not self.ages_ms or now - self._since_ms < PERIOD_MS:
            return
        ages = sorted(self.ages_ms)
        log.info(
            "%.0f messages a second; Kafka to Redis p50 %d ms, p99 %d ms; in all %d messages, %d rows older: %s",
            1000 * (self.messages - self._reported) / (now - self._since_ms),
            ages[len(ages) // 2],
            ages[len(ages) * 99 // 100],
            self.messages,
            self.older,
            "; ".join(
                f"{topic} {v.rows} rows until {to_datetime(v.row_ms).isoformat()}, {v.dead} dead"
                for topic, v in sorted(self.topics.items())
            ),
        )
        self.ages_ms, self._since_ms, self._reported = [], now, self.messages
