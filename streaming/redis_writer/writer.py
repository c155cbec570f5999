"""Writes the values of the stream views into Redis, in Feast's layout, and behind them the views' watermarks.

At least once, and therefore idempotent: values are absolute, and a row never overwrites one with a newer event time.
Offsets are committed when their rows outlive the death of Redis; when it has died, everything is read again from there.
Rows that cannot be written go to `<topic>.dead` with the reason.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from adfeast.access import KafkaAccess
from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.contract.topics import features_topic, writer_group
from adfeast.settings import Settings
from streaming.errors import StreamingError
from streaming.kafka_admin import quiet
from streaming.redis_writer.batch import read
from streaming.redis_writer.cluster import open_store
from streaming.redis_writer.offsets import SafeOffsets
from streaming.redis_writer.refusals import Refusals
from streaming.redis_writer.stats import WriterStats
from streaming.redis_writer.views import KnownViews

log = logging.getLogger(__name__)
BATCH = 10_000
# The consumer gives a batch when it is full or so long has passed: what a row waits when few come.
GATHER_S = 0.02
PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
TURN_MS = 1_000  # between two signs of life


def last_turn(local: Path) -> Path:
    """The file that is as old as the writer's last turn with partitions of its own, for whoever supervises it."""
    return local / "state" / "streaming" / "redis_writer"


class RedisWriter:
    """One process of the writer; more of them share the partitions.

    Args:
        load: reads the definitions; called again when a row is of a layout that is not known yet.
    """

    def __init__(self, settings: Settings, load: Callable[[], Definitions], clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self.stats = WriterStats(clock)
        self._views = KnownViews(settings, load, clock)
        self._refusals = Refusals(settings, clock)
        self._store = open_store(settings)
        self._offsets = SafeOffsets(self._store, clock)
        self._pause = PAUSE_S
        self._turn, self._turned_ms = last_turn(settings.local), 0

    def run(self, stop: threading.Event) -> None:
        """Reads and writes until `stop` is set; what was read and not committed is read again by the next one."""
        self._turn.parent.mkdir(parents=True, exist_ok=True)
        self._refusals.ensure(self._views.topics)
        log.info("writing features of %s to Redis %s:%s", ", ".join(self._views.names), *self._address)
        while not stop.is_set():
            try:
                self._store.connect()
                self._consume(stop)
            except redis.ConnectionError as error:
                log.warning("Redis %s:%s: %s; trying again in %.2f s", *self._address, error, self._pause)
                stop.wait(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        self._store.close()

    @property
    def _address(self) -> tuple[str, int]:
        return self.settings.redis_host, self.settings.redis_port

    def _consume(self, stop: threading.Event) -> None:
        """Until `stop` is set, or Redis dies: then a new consumer begins where what is safe ends.

        Raises:
            redis.ConnectionError: Redis has died.
        """
        consumer = Consumer(
            {
                **KafkaAccess.of(self.settings).librdkafka(),
                "group.id": writer_group(self.settings.project),
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "topic.metadata.refresh.interval.ms": 2000,  # how soon the topic of a new view is found
                "session.timeout.ms": 10_000,
                "log_level": 0,
            },
            logger=quiet,
        )
        # A dot is all that a topic's name may hold and a pattern means otherwise.
        mine = features_topic(self.settings.project, "").replace(".", r"\.")
        consumer.subscribe([rf"^{mine}[^.]+$"], on_revoke=self._leave, on_lost=lambda *_: self._offsets.forget())
        try:
            while not stop.is_set():
                messages = [m for m in consumer.consume(BATCH, timeout=GATHER_S) if not self._is_error(m)]
                if messages:
                    self._write(messages)
                    self._offsets.written({(m.topic(), m.partition()): m.offset() + 1 for m in messages})
                    self._pause = PAUSE_S
                self._commit(consumer)
                self.stats.report_when_due()
                self._refusals.report_when_due()
                self._sign(consumer)
        finally:
            consumer.close()  # which calls `_leave`

    def _write(self, messages: Sequence[Message]) -> None:
        batch = read(messages, self._views, self.clock.now_ms())
        older, bad = self._store.write([rows for _, rows, _ in batch.rows])
        sources = {id(rows): group for _, rows, group in batch.rows}
        batch.refused += [(sources[id(rows)][rows.sources[i]], f"Redis refuses it: {why}") for rows, i, why in bad]
        if batch.watermarks:
            self._store.advance(batch.watermarks, batch.ways)
        self._refusals.send(batch.refused)
        self.stats.written(messages, batch, older)

    def _sign(self, consumer: Consumer) -> None:
        now = self.clock.now_ms()
        if now - self._turned_ms >= TURN_MS and consumer.assignment():
            self._turn.touch()
            self._turned_ms = now

    def _commit(self, consumer: Consumer, *, wait: bool = False) -> None:
        safe = self._offsets.safe(wait=wait)
        if not safe:
            return
        try:
            consumer.commit(offsets=[TopicPartition(*place, at) for place, at in safe.items()], asynchronous=False)
        except KafkaException as error:
            # Another writer has these partitions now and reads the rows again, which does no harm.
            log.warning("offsets were not committed: %s", error)

    def _leave(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        try:
            self._commit(consumer, wait=True)
        except redis.ConnectionError as error:
            log.warning("Redis %s:%s: %s; what was not safe there is read again", *self._address, error)
        self._offsets.forget()

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.fatal():
            raise StreamingError(f"Kafka at {self.settings.kafka_bootstrap}: {error}")
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            log.warning("Kafka: %s", error)
        return True
