"""Publishes the feature snapshot of every answered request to Kafka, after the answer; counts what is lost."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from adfeast.contract.snapshots import TOPIC, Snapshot, SnapshotCodec
from serving.clients.kafka import KafkaProducer
from serving.errors import NotAcknowledged

log = logging.getLogger(__name__)

AFTER_S = 0.002  # the answer leaves first
LOGGED_EACH = 1000  # losses come in floods: the first and then each thousandth is logged, all are counted


class SnapshotPublisher:
    """Never waits and never raises for Kafka's sake, unless it is told to: a Predict is answered without its snapshot.

    Attributes:
        acknowledged: snapshots that Kafka holds.
        lost: snapshots it does not: buffer full, or not confirmed in time.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self._waiting: dict[Snapshot, SnapshotCodec] = {}
        self.acknowledged = self.lost = 0

    def publish_soon(self, codec: SnapshotCodec, snapshot: Snapshot) -> None:
        """Publishes a snapshot once the answer has had time to leave."""
        self._waiting[snapshot] = codec
        asyncio.get_running_loop().call_later(AFTER_S, self._publish, snapshot)

    def flush(self) -> None:
        """Publishes what still waits; call when no request is running any more."""
        for snapshot in list(self._waiting):
            self._publish(snapshot)

    def _publish(self, snapshot: Snapshot) -> None:
        codec = self._waiting.pop(snapshot, None)
        if codec is None:  # flushed meanwhile
            return
        try:
            self._producer.send(TOPIC, snapshot.request_id.encode(), codec.encode(snapshot), self._confirmed)
        except BufferError:
            self._lose("the producer's buffer is full")
        except KafkaException as error:
            self._lose(str(error))

    async def confirm(self, codec: SnapshotCodec, snapshot: Snapshot) -> None:
        """Publishes a snapshot and waits until Kafka has it.

        Raises:
            NotAcknowledged: it has not.
        """
        message = (snapshot.request_id.encode(), codec.encode(snapshot))
        problems = await self._producer.send_all(TOPIC, [message])
        if problems:
            self._lose(problems[0])
            raise NotAcknowledged(f"Kafka did not confirm the snapshot ({problems[0]}): send the call again")
        self.acknowledged += 1

    def _confirmed(self, error: KafkaError | None, _message: Any) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self._lose(error.str())

    def _lose(self, reason: str) -> None:
        self.lost += 1
        if self.lost % LOGGED_EACH == 1:
            log.error("snapshot lost (%d so far): %s", self.lost, reason)
