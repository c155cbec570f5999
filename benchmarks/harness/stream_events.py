"""Impressions for the stream benchmark: uniform users, ads by Zipf's law, seeded; sent ahead of time or live."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Producer

from adfeast.contract.events import EVENT_ID, EVENT_TIME, EventCodec
from benchmarks.harness.errors import BenchmarkError

TOPIC = "impressions"
QUEUE = 200_000


@dataclass(frozen=True)
class Traffic:
    """Who sees what.

    Attributes:
        skew: exponent of Zipf's law for the ads.
        partitions: of the topic; an event goes to the partition of its number.
    """

    users: int
    ads: int
    skew: float = 1.1
    partitions: int = 2

    def keys(self, count: int, seed: int) -> Iterator[tuple[str, str]]:
        """User and ad of each event."""
        dice = np.random.default_rng(seed)
        weights = 1 / np.arange(1, self.ads + 1) ** self.skew
        ads = dice.choice(self.ads, count, p=weights / weights.sum())
        for user, ad in zip(dice.integers(self.users, size=count), ads, strict=True):
            yield f"user-{user}", f"ad-{ad}"


def event(codec: EventCodec, identity: str, ms: int, user: str, ad: str) -> bytes:
    """One impression as producers send it."""
    return codec.encode(
        {
            EVENT_ID: identity,
            EVENT_TIME: ms,
            "request_id": f"r-{identity}",
            "user_id": user,
            "ad_id": ad,
            "position": 1,
            "placement": "feed",
            "attempt_id": "",
        }
    )


def send(
    bootstrap: str, codec: EventCodec, traffic: Traffic, count: int, seed: int, begin_ms: int, density: int
) -> int:
    """Sends `count` events, `density` in a second of event time; returns how many keys (users and ads) they have.

    Raises:
        BenchmarkError: Kafka did not take them all.
    """
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": QUEUE})
    seen: set[str] = set()
    for n, (user, ad) in enumerate(traffic.keys(count, seed)):
        message = event(codec, f"{seed:08x}{n:024x}", begin_ms + n * 1000 // density, user, ad)
        _produce(producer, message, n % traffic.partitions)
        seen |= {user, ad}
    if left := producer.flush(60):
        raise BenchmarkError(f"Kafka at {bootstrap} did not take {left} of {count} events")
    return len(seen)


def send_live(
    bootstrap: str, codec: EventCodec, traffic: Traffic, rate: float, stop: threading.Event, seed: int
) -> int:
    """Sends events with the time of the wall clock at a rate until `stop` is set; returns how many."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "queue.buffering.max.messages": QUEUE})
    begin, sent = time.perf_counter(), 0
    keys = traffic.keys(10_000_000, seed)
    while not stop.is_set():
        due = int((time.perf_counter() - begin) * rate)
        for _ in range(due - sent):
            user, ad = next(keys)
            message = event(codec, f"{seed:08x}{sent:024x}", int(time.time() * 1000), user, ad)
            _produce(producer, message, sent % traffic.partitions)
            sent += 1
        time.sleep(0.005)
    producer.flush(30)
    return sent


def _produce(producer: Producer, message: bytes, partition: int) -> None:
    while True:
        try:
            producer.produce(TOPIC, message, partition=partition)
            producer.poll(0)
            return
        except BufferError:
            producer.poll(0.1)
