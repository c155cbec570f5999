"""Writes the values of the stream views into Redis, in Feast's layout.

At least once, and therefore idempotent: offsets are committed after Redis has acknowledged, values are absolute, and a
row never overwrites one with a newer event time. Rows that cannot be written go to `<topic>.dead` with the reason.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EVENT_TIME
from adfeast.contract.topics import DEAD_LETTER_BYTES, Topic, dead_letter_topic, dead_letters, features_topic, topics
from adfeast.settings import Settings
from streaming.errors import BadFeatureRow, StreamingError
from streaming.kafka_admin import ensure_topics, quiet
from streaming.redis_writer.layout import WRITE_IF_NEWER, RowLayout
from streaming.redis_writer.stats import WriterStats

log = logging.getLogger(__name__)
BATCH = 2000
RELOAD_MS = 2_000
AHEAD_MS = 60_000  # as much as the jobs believe of an event (docs/semantics.md)
TRANSIENT = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError)

Row = tuple[bytes, int, list[bytes]]


def writer_group(project: str) -> str:
    """Consumer group of the writer."""
    return f"{project}-redis-writer"


class RedisWriter:
    """One process of the writer; more of them share the partitions.

    Args:
        load: reads the definitions; called again when a row names a view or a feature that is not known yet.
    """

    def __init__(self, settings: Settings, load: Callable[[], Definitions], clock: Clock) -> None:
        self.settings, self.load, self.clock = settings, load, clock
        self.stats = WriterStats(clock)
        self._redis = redis.Redis(settings.redis_host, settings.redis_port, socket_timeout=10, socket_connect_timeout=2)
        self._script = ""
        self._loaded_ms = -RELOAD_MS
        self._layouts: dict[str, RowLayout] = {}
        self._topics: set[str] = set()  # those that are known to exist
        config = {"bootstrap.servers": settings.kafka_bootstrap, "message.max.bytes": DEAD_LETTER_BYTES, "log_level": 0}
        self._producer = Producer(config, logger=quiet)

    def run(self, stop: threading.Event) -> None:
        """Reads and writes until `stop` is set; what was read and not written is read again by the next one."""
        self._reload()
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
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
        consumer.subscribe([r"^features\.[^.]+$"])
        log.info("writing features of %s to Redis %s:%s", ", ".join(self._layouts), *self._address)
        try:
            while not stop.is_set():
                messages = consumer.consume(BATCH, timeout=0.05)
                if messages:
                    self._write_and_commit(consumer, messages, stop)
                self.stats.report_when_due()
        finally:
            consumer.close()

    @property
    def _address(self) -> tuple[str, int]:
        return self.settings.redis_host, self.settings.redis_port

    def _write_and_commit(self, consumer: Consumer, messages: Sequence[Message], stop: threading.Event) -> None:
        good = [m for m in messages if not self._is_error(m)]
        rows = self.decode(good)
        wait = 0.05
        while rows:
            try:
                self.write(rows)
                break
            except TRANSIENT as error:
                log.warning("Redis %s:%s: %s; trying again in %.2f s", *self._address, error, wait)
                if stop.wait(wait):
                    return
                wait = min(2 * wait, 2.0)
        if self._producer.flush(30):
            raise StreamingError("Kafka did not take the dead letters; nothing was committed")
        try:
            if good:
                consumer.commit(asynchronous=False)
        except KafkaException as error:
            # Another writer has these partitions now and reads the rows again, which does no harm.
            log.warning("offsets were not committed: %s", error)
        self.stats.written(good)

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.fatal():
            raise StreamingError(f"Kafka at {self.settings.kafka_bootstrap}: {error}")
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            log.warning("Kafka: %s", error)
        return True

    def decode(self, messages: Sequence[Message]) -> list[Row]:
        """The rows to write; of several for one view and key only the newest, the later of equals."""
        newest: dict[tuple[str, bytes], Row] = {}
        for message in messages:
            try:
                row = self._decode(message)
            except BadFeatureRow as error:
                self._refuse(message, error.reason)
                continue
            key = (message.topic(), row[0])
            if key not in newest or newest[key][1] <= row[1]:
                newest[key] = row
        return list(newest.values())

    def _decode(self, message: Message) -> Row:
        try:
            row: Any = json.loads(message.value() or b"")
        except ValueError as error:
            raise BadFeatureRow(f"not JSON: {error}") from error
        if not isinstance(row, dict):
            raise BadFeatureRow("not a JSON object")
        layout = self._layouts.get(message.topic())
        if layout is None or len(row) != len(layout.names) + 2 or not layout.names <= row.keys():
            self._reload()  # a view or a feature was added or taken away
            layout = self._layouts.get(message.topic())
        if layout is None:
            raise BadFeatureRow("the registry has no stream view of this topic")
        encoded = layout.encode(row)
        ahead = encoded[1] - self.clock.now_ms()
        if ahead > AHEAD_MS:
            # It would be the newest for ever and nothing could overwrite it.
            raise BadFeatureRow(f"{EVENT_TIME} {encoded[1]} lies {ahead / 1000:.0f} s in the future")
        return encoded

    def _reload(self) -> None:
        if self.clock.now_ms() - self._loaded_ms < RELOAD_MS:
            return
        definitions = self.load()
        views = [v for v in definitions.views.values() if v.kind == "stream"]
        self._layouts = {features_topic(v.name): RowLayout(v, self.settings.project) for v in views}
        self._make_dead_letter_topics(topics(definitions, self.settings))
        self._loaded_ms = self.clock.now_ms()

    def _make_dead_letter_topics(self, wanted: Mapping[str, Topic]) -> None:
        missing = {name: topic for name, topic in wanted.items() if name not in self._topics}
        if missing:
            ensure_topics(self.settings.kafka_bootstrap, missing)
            self._topics |= missing.keys()

    def _refuse(self, message: Message, reason: str) -> None:
        log.warning("%s[%d]@%d: %s", message.topic(), message.partition(), message.offset(), reason)
        self.stats.dead += 1
        dead = dead_letter_topic(message.topic())
        self._make_dead_letter_topics({dead: dead_letters(self.settings)})  # of a view that is no more
        headers = {"reason": reason, "partition": str(message.partition()), "offset": str(message.offset())}
        self._producer.produce(dead, message.value(), message.key(), headers=headers)

    def write(self, rows: Sequence[Row]) -> int:
        """Writes rows in one pipeline and returns how many were not older than what is stored.

        Raises:
            redis.RedisError: none, some or all rows were written; writing them again does no harm.
        """
        if not self._script:
            self._script = self._redis.script_load(WRITE_IF_NEWER)
        pipeline = self._redis.pipeline(transaction=False)
        for key, _, fields in rows:
            pipeline.evalsha(self._script, 1, key, *fields)
        try:
            taken = sum(pipeline.execute())
        except redis.exceptions.NoScriptError:
            # Redis was restarted and has forgotten the script.
            self._script = ""
            return self.write(rows)
        self.stats.older += len(rows) - taken
        return int(taken)
