"""A Kafka producer whose confirmations reach the event loop; librdkafka's own threads do the sending."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Producer

log = logging.getLogger(__name__)

DELIVERY_TIMEOUT_MS = 15_000
Confirmed = Callable[[KafkaError | None, Any], None]


class KafkaProducer:
    """Every message is written to all replicas, once, in order (idempotent producer).

    Args:
        linger_ms: how long a message may wait for others of its batch.
        buffer_kb: memory for messages on their way; beyond it `BufferError`.

    Attributes:
        appended_ms: Kafka's time of the last message of `send_all`, on a topic that Kafka stamps; 0 before.
    """

    def __init__(self, bootstrap: str, linger_ms: float, buffer_kb: int = 65_536) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "queue.buffering.max.kbytes": buffer_kb,
                "message.max.bytes": 8_000_000,
            },
            logger=log,
        )
        self.appended_ms = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve_confirmations, name="kafka-confirmations", daemon=True)
        self._thread.start()

    def _serve_confirmations(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.2)

    def send(self, topic: str, key: bytes, value: bytes, confirmed: Confirmed) -> None:
        """Hands a message over; `confirmed` is called later, in another thread.

        Raises:
            BufferError: the buffer is full.
            KafkaException: the message cannot be sent at all.
        """
        self._producer.produce(topic, value, key, on_delivery=confirmed)

    async def send_all(self, topic: str, messages: Sequence[tuple[bytes, bytes]]) -> list[str]:
        """Sends (key, value) messages and waits until Kafka has answered for each.

        Returns:
            What went wrong, one text a message that is not confirmed.
        """
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        problems: list[str] = []
        left = len(messages)
        lock = threading.Lock()  # a message that is refused at once is counted by this thread, others by librdkafka's

        def confirmed(error: KafkaError | None, message: Any) -> None:
            nonlocal left
            with lock:
                if error is not None:
                    problems.append(error.str())
                elif message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME:
                    self.appended_ms = message.timestamp()[1]
                left -= 1
                last = left == 0
            if last:
                loop.call_soon_threadsafe(done.set)

        for key, value in messages:
            try:
                self.send(topic, key, value, confirmed)
            except BufferError as error:
                confirmed(KafkaError(KafkaError._QUEUE_FULL, str(error)), None)
            except KafkaException as error:
                confirmed(error.args[0], None)
        if messages:
            await done.wait()
        return problems

    def close(self, timeout_s: float = 10.0) -> int:
        """Sends what is left. Returns: messages that could not be sent in time."""
        left = int(self._producer.flush(timeout_s))
        self._closing.set()
        self._thread.join(1.0)
        return left
