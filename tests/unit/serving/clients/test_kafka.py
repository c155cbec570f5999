"""A producer that librdkafka has given up is replaced; the broker is not needed for that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from serving.clients.kafka import KafkaProducer

FATAL = KafkaError(KafkaError._FATAL, "the epoch is another", fatal=True)
PURGED = KafkaError(KafkaError._PURGE_QUEUE, "purged")


class Fake:
    """As much of librdkafka's producer as is used; after a fatal error it takes nothing."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.error_cb, self.broken, self.to_report = config["error_cb"], False, False
        self.holds: list[Callable[[Any, Any], None]] = []
        self.answers = True

    def produce(self, _topic: str, _value: bytes, _key: bytes, on_delivery: Callable[[Any, Any], None]) -> None:
        if self.broken:
            raise KafkaException(FATAL)
        self.holds.append(on_delivery)

    def poll(self, _seconds: float) -> None:
        time.sleep(0.001)
        if self.to_report:
            self.to_report = False
            self.error_cb(FATAL)
        while self.answers and self.holds:
            self.holds.pop()(None, self)

    def purge(self) -> None:
        for waiting in self.holds:
            waiting(PURGED, None)
        self.holds.clear()

    def flush(self, _seconds: float) -> int:
        return len(self.holds)

    def timestamp(self) -> tuple[int, int]:
        return 0, 0


def made() -> tuple[KafkaProducer, list[Fake]]:
    fakes: list[Fake] = []

    def make(config: dict[str, Any]) -> Fake:
        fakes.append(Fake(config))
        return fakes[-1]

    return KafkaProducer("nowhere:1", 1, make=make), fakes


def test_a_producer_that_refuses_everything_is_replaced_and_the_call_succeeds() -> None:
    producer, fakes = made()
    fakes[0].broken = True
    assert asyncio.run(producer.send_all("topic", [(b"k", b"v")] * 3)) == []
    assert (producer.renewed, len(fakes)) == (1, 2)
    producer.close(0.1)


def test_messages_of_a_replaced_producer_are_refused_and_the_next_ones_sent() -> None:
    producer, (first, *_) = made()
    first.answers = False

    async def send() -> list[str]:
        sending = asyncio.create_task(producer.send_all("topic", [(b"k", b"v")] * 3))
        await asyncio.sleep(0.01)
        first.broken = first.to_report = True
        return await sending

    assert asyncio.run(asyncio.wait_for(send(), 5)) == ["purged"] * 3
    assert producer.renewed == 1
    assert asyncio.run(producer.send_all("topic", [(b"k", b"v")])) == []
    assert producer.renewed == 1
    producer.close(0.1)


def test_an_error_that_passes_replaces_nothing() -> None:
    producer, (first, *_) = made()
    first.error_cb(KafkaError(KafkaError._ALL_BROKERS_DOWN, "away"))
    assert producer.renewed == 0
    producer.close(0.1)


def test_a_refused_login_is_told_with_the_messages_until_one_is_taken() -> None:
    producer, (first, *_) = made()
    first.answers = False
    first.error_cb(KafkaError(KafkaError._AUTHENTICATION, "invalid credentials"))

    async def send() -> list[str]:
        sending = asyncio.create_task(producer.send_all("topic", [(b"k", b"v")]))
        await asyncio.sleep(0.01)
        first.purge()
        return await sending

    [problem] = asyncio.run(send())
    assert "purged: Kafka at nowhere:1 refuses kafka_username and kafka_password" in problem
    first.answers = True
    assert asyncio.run(producer.send_all("topic", [(b"k", b"v")])) == []
    first.answers = False
    assert asyncio.run(send()) == ["purged"]
    producer.close(0.1)
