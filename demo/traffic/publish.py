"""Publishes past days as events on Kafka, as fast as it can, in the order of their times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, Message, Producer

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_TIME, IMPRESSIONS, EventCodec
from adfeast.contract.signature import USER
from adfeast.settings import Settings
from demo.errors import StepFailed
from demo.traffic.open_bandit import Auction, Event


@dataclass(frozen=True)
class Published:
    """What Kafka acknowledged."""

    impressions: int
    clicks: int


def in_order(auctions: Sequence[Auction]) -> list[tuple[str, Event]]:
    """(topic, event) of all impressions and clicks by event time."""
    events = [(IMPRESSIONS, a.impression) for a in auctions]
    events += [(CLICKS, a.click) for a in auctions if a.click is not None]
    return sorted(events, key=lambda e: e[1][EVENT_TIME])


def publish(
    settings: Settings,
    definitions: Definitions,
    auctions: Sequence[Auction],
    progress: Callable[[int], None] = lambda _: None,
) -> Published:
    """Returns when Kafka has every event of `auctions`; `progress` is given the number sent so far.

    Raises:
        StepFailed: Kafka refused an event, or some are unacknowledged after a minute.
    """
    codecs = {topic: EventCodec(topic, definitions.events[topic]) for topic in (IMPRESSIONS, CLICKS)}
    key = definitions.entities[USER]  # orders the events of a user on their topic
    acknowledged = dict.fromkeys(codecs, 0)
    refused: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(f"{message.topic()}: {error.str()}")
        else:
            acknowledged[message.topic()] += 1

    producer = Producer(
        {"bootstrap.servers": settings.kafka_bootstrap, "enable.idempotence": True, "linger.ms": 20, "log_level": 0}
    )
    for sent, (topic, event) in enumerate(in_order(auctions), start=1):
        value = codecs[topic].encode(event)
        while True:
            try:
                producer.produce(topic, value, event[key].encode(), on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        if sent % 500 == 0:
            producer.poll(0)
            progress(sent)
    if left := producer.flush(60):
        raise StepFailed(f"{left} events are not acknowledged by Kafka at {settings.kafka_bootstrap} after 60 s")
    if refused:
        raise StepFailed(f"Kafka refused {len(refused)} events, the first: {refused[0]}")
    progress(sum(acknowledged.values()))
    return Published(acknowledged[IMPRESSIONS], acknowledged[CLICKS])
