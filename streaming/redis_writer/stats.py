"""What the Redis writer says of itself: rows a second, how fresh they are, what was refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from adfeast.clock import Clock

log = logging.getLogger(__name__)
PERIOD_MS = 10_000


@dataclass
class WriterStats:
    """Counters since the start, freshness since the last report.

    Attributes:
        rows: rows read and acknowledged by Redis.
        older: rows not written because Redis holds a newer one.
        dead: rows that went to a dead-letter topic.
        ages_ms: milliseconds from Kafka's timestamp of a row to Redis' acknowledgement.
    """

    clock: Clock
    rows: int = 0
    older: int = 0
    dead: int = 0
    ages_ms: list[int] = field(default_factory=list)
    _since_ms: int = 0

    def written(self, messages: Sequence[Message]) -> None:
        """Counts a batch that Redis has acknowledged."""
        now = self.clock.now_ms()
        self._since_ms = self._since_ms or now
        self.rows += len(messages)
        self.ages_ms += [now - m.timestamp()[1] for m in messages]

    def report_when_due(self) -> None:
        """Logs one line every ten seconds in which rows came."""
        now = self.clock.now_ms()
        if not self.ages_ms or now - self._since_ms < PERIOD_MS:
            return
        ages = sorted(self.ages_ms)
        log.info(
            "%d rows, %.0f a second; Kafka to Redis p50 %d ms, p99 %d ms; since the start %d rows, %d older, %d dead",
            len(ages),
            1000 * len(ages) / (now - self._since_ms),
            ages[len(ages) // 2],
            ages[len(ages) * 99 // 100],
            self.rows,
            self.older,
            self.dead,
        )
        self.ages_ms, self._since_ms = [], now
