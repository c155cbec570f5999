"""Rows that cannot be written: kept as dead letters with the reason, and told of now and then."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Message, Producer

from adfeast.access import KafkaAccess
from adfeast.clock import Clock
from adfeast.contract.topics import DEAD_LETTER_BYTES, Topic, dead_letter_topic, dead_letters
from adfeast.settings import Settings
from streaming.errors import StreamingError
from streaming.kafka_admin import ensure_topics, quiet

log = logging.getLogger(__name__)
PERIOD_MS = 60_000
FLUSH_S = 30.0


class Refusals:
    """The dead letters of the feature topics."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._bootstrap, self._clock = KafkaAccess.of(settings), clock
        self._topics: set[str] = set()  # those that are known to exist
        self._told_ms: dict[tuple[str, str], int] = {}
        self._untold: Counter[tuple[str, str]] = Counter()
        self._failed = ""
        self._dead_letters = dead_letters(settings)
        config = {**self._bootstrap.librdkafka(), "message.max.bytes": DEAD_LETTER_BYTES, "log_level": 0}
        self._producer = Producer(config, logger=quiet)

    def ensure(self, wanted: Mapping[str, Topic]) -> None:
        """Creates topics, each asked for once."""
        missing = {name: topic for name, topic in wanted.items() if name not in self._topics}
        if missing:
            ensure_topics(self._bootstrap, missing)
            self._topics |= missing.keys()

    def send(self, refused: Sequence[tuple[Message, str]]) -> None:
        """Returns when Kafka holds them all.

        Raises:
            StreamingError: it does not take one.
        """
        self.ensure({dead_letter_topic(message.topic()): self._dead_letters for message, _ in refused})
        for message, reason in refused:
            self._untold[message.topic(), reason] += 1
            self._produce(message, reason)
        if refused and self._producer.flush(FLUSH_S):
            self._failed = self._failed or f"no answer in {FLUSH_S:.0f} s"
        if self._failed:
            raise StreamingError(f"Kafka at {self._bootstrap} did not take dead letters: {self._failed}")
        self.report_when_due()

    def report_when_due(self) -> None:
        """Logs each topic and reason at once when it is new, and then once a minute with the number of rows."""
        now = self._clock.now_ms()
        for kind, count in list(self._untold.items()):
            if now - self._told_ms.get(kind, -PERIOD_MS) >= PERIOD_MS:
                log.warning("%s: %d rows went to its dead letters: %s", kind[0], count, kind[1])
                self._told_ms[kind] = now
                del self._untold[kind]

    def _produce(self, message: Message, reason: str) -> None:
        headers = {"reason": reason, "partition": str(message.partition()), "offset": str(message.offset())}
        given = {"headers": headers, "on_delivery": self._delivered}
        while True:
            try:
                self._producer.produce(dead_letter_topic(message.topic()), message.value(), message.key(), **given)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)

    def _delivered(self, error: Any, message: Message) -> None:
        if error is not None:
            self._failed = f"{message.topic()}: {error}"
