"""A Kafka producer whose confirmations reach the event loop; librdkafka's own threads do the sending."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Producer

from adfeast.access import KafkaAccess

log = logging.getLogger(__name__)

DELIVERY_TIMEOUT_MS = 15_000
SLICE = 500  # messages that are handed over before others have their turn: 2 ms
Confirmed = Callable[[KafkaError | None, Any], None]


class KafkaProducer:
    """Every message is written to all replicas, once, in order (idempotent producer).

    Args:
        kafka: the cluster; an address is enough where everybody may come in.
        linger_ms: how long a message may wait for others of its batch.
        buffer_kb: memory for messages on their way; beyond it `BufferError`.
        delivery_ms: after so long a message that Kafka has not confirmed is given up.
        make: makes librdkafka's producer of its configuration.

    Attributes:
        appended_ms: Kafka's time of the last message of `send_all`, on a topic that Kafka stamps; 0 before.
        renewed: how often librdkafka's producer was replaced, because of an error after which it sends nothing.
    """

    def __init__(
        self,
        kafka: KafkaAccess | str,
        linger_ms: float,
        buffer_kb: int = 65_536,
        delivery_ms: int = DELIVERY_TIMEOUT_MS,
        make: Callable[[dict[str, Any]], Any] = lambda config: Producer(config, logger=log),
    ) -> None:
        self._access = KafkaAccess(kafka) if isinstance(kafka, str) else kafka
        self._refused = ""
        self._config = {
            **self._access.librdkafka(),
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": linger_ms,
            "delivery.timeout.ms": delivery_ms,
            "queue.buffering.max.kbytes": buffer_kb,
            "message.max.bytes": 8_000_000,
        }
        self.appended_ms = self.renewed = 0
        self._make, self._renewing = make, threading.Lock()
        self._broken: list[Any] = []
        self._producer = self._new()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve_confirmations, name="kafka-confirmations", daemon=True)
        self._thread.start()

    def _new(self) -> Any:
        producer: Any = None

        def failed(error: KafkaError) -> None:
            if error.code() == KafkaError._AUTHENTICATION:
                self._refused = self._access.refused(error.str())
            elif error.code() == KafkaError._SSL:
                self._refused = self._access.failed(error.str())
            if error.fatal():
                self._renew(producer, error)

        producer = self._make({**self._config, "error_cb": failed})
        return producer

    def _renew(self, broken: Any, error: KafkaError) -> None:
        """Replaces a producer that sends nothing any more; what it had not sent is refused, and so sent again."""
        with self._renewing:
            if broken is not self._producer:
                return  # another thread was as quick
            self._producer = self._new()
            self.renewed += 1
        log.error("a Kafka producer is replaced: %s", error.str())
        self._broken.append(broken)

    def _serve_confirmations(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.2)
            while self._broken:
                broken = self._broken.pop()
                broken.purge()
                broken.flush(1.0)  # tells who waits for its messages

    def send(self, topic: str, key: bytes, value: bytes, confirmed: Confirmed) -> None:
        """Hands a message over; `confirmed` is called later, in another thread.

        Raises:
            BufferError: the buffer is full.
            KafkaException: the message cannot be sent at all.
        """
        producer = self._producer
        try:
            producer.produce(topic, value, key, on_delivery=confirmed)
        except KafkaException as error:
            if not error.args[0].fatal():
                raise
            self._renew(producer, error.args[0])
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
                    # A message that nobody takes only times out: why is told apart from it.
                    problems.append(f"{error.str()}: {self._refused}" if self._refused else error.str())
                else:
                    self._refused = ""
                    if message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME:
                        self.appended_ms = message.timestamp()[1]
                left -= 1
                last = left == 0
            if last:
                loop.call_soon_threadsafe(done.set)

        for i, (key, value) in enumerate(messages):
            if i and i % SLICE == 0:
                await asyncio.sleep(0)
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
