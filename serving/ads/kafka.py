"""The feature topics as one reader of all their partitions, which keeps its offsets itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from adfeast.access import KafkaAccess
from adfeast.contract.topics import writer_group
from adfeast.settings import Settings
from serving.errors import StoreUnavailable, TopicsLost

log = logging.getLogger(__name__)
BATCH = 10_000
GATHER_S = 0.02  # what a row waits when few come
ASK_S = 5.0
Offsets = dict[tuple[str, int], int]
Bounds = dict[tuple[str, int], tuple[int, int]]
_quiet = logging.getLogger("serving.ads.librdkafka")
_quiet.setLevel(logging.CRITICAL)


class Source(Protocol):
    """What is followed; each call may wait, so it is made in a thread. Errors are `StoreUnavailable`."""

    def poll(self) -> list[Message]:
        """What has come; `position` is behind it.

        Raises:
            TopicsLost: something is missing before it.
        """
        ...

    @property
    def position(self) -> Offsets: ...

    def bounds(self, topics: Sequence[str]) -> Bounds:
        """The first offset that is held and the one after the last, of each partition there is."""
        ...

    def written(self, places: Sequence[tuple[str, int]]) -> Offsets:
        """Everything below these is in Redis; a partition of which nothing is known is left out."""
        ...

    def follow(self, offsets: Offsets) -> None:
        """Goes on from these."""
        ...

    def close(self) -> None: ...


class FeatureSource:
    """`Source` of a Kafka cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._at = settings, Offsets()
        self._consumer = self._make(
            f"{settings.project}-ads", **{"enable.partition.eof": True, "fetch.wait.max.ms": 20}
        )

    def _make(self, group: str, **more: object) -> Consumer:
        own = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "error", "log_level": 0, **more}
        return Consumer({**KafkaAccess.of(self._settings).librdkafka(), **own}, logger=_quiet)

    @property
    def position(self) -> Offsets:
        return dict(self._at)

    def poll(self) -> list[Message]:
        found = []
        for message in self._consumer.consume(BATCH, timeout=GATHER_S):
            place, error = (message.topic(), message.partition()), message.error()
            if error is None:
                found.append(message)
                self._at[place] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:  # beyond what marks the ends of transactions, too
                self._at[place] = max(self._at.get(place, 0), message.offset())
            elif error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise TopicsLost(f"Kafka at {self._settings.kafka_bootstrap}: {error}")
            else:
                log.warning("Kafka: %s", error)
        return found

    def bounds(self, topics: Sequence[str]) -> Bounds:
        found: Bounds = {}
        try:
            known = self._consumer.list_topics(timeout=ASK_S).topics
            for topic in topics:
                for partition in known[topic].partitions if topic in known else ():
                    place = TopicPartition(topic, partition)
                    found[topic, partition] = self._consumer.get_watermark_offsets(place, timeout=ASK_S)
        except KafkaException as error:
            raise StoreUnavailable(f"Kafka at {self._settings.kafka_bootstrap}: {error}") from error
        return found

    def written(self, places: Sequence[tuple[str, int]]) -> Offsets:
        asking = self._make(writer_group(self._settings.project))  # it asks as the group, and joins it not
        try:
            told = asking.committed([TopicPartition(*place) for place in places], timeout=ASK_S)
        except KafkaException as error:
            raise StoreUnavailable(f"Kafka at {self._settings.kafka_bootstrap}: {error}") from error
        finally:
            asking.close()
        return {(t.topic, t.partition): t.offset for t in told if t.offset >= 0}

    def follow(self, offsets: Offsets) -> None:
        self._at = dict(offsets)
        self._consumer.assign([TopicPartition(*place, at) for place, at in offsets.items()])

    def close(self) -> None:
        self._consumer.close()
