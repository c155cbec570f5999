"""As many impressions as a topic takes, straight into Kafka."""

from __future__ import annotations

import random
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from adfeast.clock import SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EVENT_ID, EVENT_TIME, IMPRESSIONS, EventCodec
from adfeast.contract.signature import AD, USER
from adfeast.settings import Settings

USERS, ADS = 20_000, 2_000
AT_ONCE = 2_000


def flood(settings: Settings, definitions: Definitions, count: int, seed: int) -> list[dict[str, Any]]:
    """Sends impressions of many users and ads, with the time of the clock; those that Kafka confirmed."""
    schema = definitions.events[IMPRESSIONS]
    codec, dice, clock = EventCodec(IMPRESSIONS, schema), random.Random(seed), SystemClock()
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "linger.ms": 20, "log_level": 0})
    fixed = {c["name"]: "flood" if c["type"] == "string" else 0 for c in schema["fields"] if "default" not in c}
    user, ad = definitions.entities[USER], definitions.entities[AD]
    acknowledged: list[dict[str, Any]] = []

    def confirmed(event: dict[str, Any], error: KafkaError | None, _message: Message) -> None:
        if error is None:
            acknowledged.append(event)

    for n in range(count):
        event: dict[str, Any] = fixed | {EVENT_ID: f"flood-{n}", EVENT_TIME: clock.now_ms()}
        event |= {user: f"many-{dice.randrange(USERS)}", ad: f"often-{dice.randrange(ADS)}"}
        while True:
            try:
                producer.produce(
                    IMPRESSIONS,
                    codec.encode(event),
                    event[user].encode(),
                    on_delivery=lambda e, m, sent=event: confirmed(sent, e, m),
                )
                break
            except BufferError:
                producer.poll(0.1)
        if n % AT_ONCE == 0:
            producer.poll(0)
    producer.flush(120)
    return acknowledged
