"""How long from an event until its value can be read: users never seen before are asked for until they exist."""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis
from confluent_kafka import Producer

from adfeast.contract.events import EventCodec
from adfeast.feast_ext.online_layout import redis_key
from adfeast.settings import Settings
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.stream_events import TOPIC, event

POLL_S = 0.002
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Freshness:
    """Milliseconds from the sending of an event to its value in Redis, under a load of `rate` events a second."""

    rate: float
    probes: int
    p50_ms: float
    p99_ms: float


def probe(settings: Settings, codec: EventCodec, rate: float, seconds: float) -> Freshness:
    """One probe after the other.

    Raises:
        BenchmarkError: a value did not come.
    """
    taken: list[float] = []
    end = time.perf_counter() + seconds
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "linger.ms": 0})
    with redis.Redis(settings.redis_host, settings.redis_port) as client:
        while (start := time.perf_counter()) < end:
            user = f"probe-{time.time_ns()}"
            producer.produce(TOPIC, event(codec, user, int(time.time() * 1000), user, "ad-0"), partition=len(taken) % 2)
            producer.flush(10)
            key = redis_key("user_id", user, settings.project)
            while not client.exists(key):
                if time.perf_counter() - start > DEADLINE_S:
                    raise BenchmarkError(f"the value of {user} was not in Redis after {DEADLINE_S:.0f} s")
                time.sleep(POLL_S)
            taken.append((time.perf_counter() - start) * 1000)
    taken.sort()
    return Freshness(rate, len(taken), taken[len(taken) // 2], taken[len(taken) * 99 // 100])
