"""Three brokers and replication 3: one is killed and comes back while events flow; none is lost, none is twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from confluent_kafka import Consumer, TopicPartition

from adfeast.access import KafkaAccess
from adfeast.contract.topics import dead_letter_topic, topics
from adfeast.settings import Settings
from serving.clients.kafka import KafkaProducer
from streaming.kafka_admin import admin, end_offsets, ensure_topics
from tests.cluster.kafka import Kafka, first_message
from tests.cluster.servers import Servers, said
from tests.unit.streaming.jobs.test_sql import definitions

BROKERS = 3
TOPIC = "bids"
CALL = 200  # events of one LogImpression
CALLS_BEFORE, CALLS_AFTER = 10, 40


@pytest.fixture(scope="module")
def kafka(servers: Servers) -> Kafka:
    started = Kafka(servers, BROKERS)
    started.wait()
    return started


@pytest.fixture(scope="module")
def settings(kafka: Kafka) -> Settings:
    return Settings(kafka_bootstrap=kafka.bootstrap, kafka_replication=BROKERS)


def replicas(settings: Settings, topic: str) -> list[tuple[int, set[int], set[int]]]:
    """Of each partition its leader, its replicas and those that are in sync."""
    with admin(KafkaAccess.of(settings)) as client:
        [found] = client.describe_topics([topic])
    return [(p["leader_id"], set(p["replica_nodes"]), set(p["isr_nodes"])) for p in found["partitions"]]


def stored(settings: Settings, topic: str) -> Counter[bytes]:
    """Every message of a topic, as often as it is there."""
    access, found = KafkaAccess.of(settings), Counter[bytes]()
    consumer = Consumer({**access.librdkafka(), "group.id": "test", "auto.offset.reset": "earliest"})
    try:
        for (name, partition), end in end_offsets(access, [topic]).items():
            consumer.assign([TopicPartition(name, partition, 0)])
            at = 0
            while at < end:
                for message in consumer.consume(10_000, timeout=5):
                    assert message.error() is None, message.error()
                    found[message.value()] += 1
                    at = message.offset() + 1
    finally:
        consumer.close()
    return found


def test_topics_are_made_with_copies_on_every_broker(settings: Settings) -> None:
    wanted = topics(definitions(), settings)
    assert set(ensure_topics(KafkaAccess.of(settings), wanted)) == wanted.keys()
    assert ensure_topics(KafkaAccess.of(settings), wanted) == []
    found = replicas(settings, TOPIC)
    assert [copies for _, copies, _ in found] == [{1, 2, 3}] * settings.event_partitions


def test_a_killed_broker_loses_no_event_that_was_confirmed_and_doubles_none(settings: Settings, kafka: Kafka) -> None:
    producer = KafkaProducer(KafkaAccess.of(settings), linger_ms=1)
    sent: list[bytes] = []

    async def calls(count: int) -> None:
        for _ in range(count):
            own = [b"event %d" % (len(sent) + n) for n in range(CALL)]
            assert await producer.send_all(TOPIC, [(event, event) for event in own]) == []
            sent.extend(own)
            await asyncio.sleep(0.02)

    async def flow() -> None:
        await first_message(producer, dead_letter_topic(TOPIC))
        await calls(CALLS_BEFORE)
        leader = replicas(settings, TOPIC)[0][0]
        under_way = asyncio.create_task(calls(CALLS_AFTER))
        await asyncio.sleep(0.1)
        kafka.kill(leader)
        begin = time.monotonic()
        await under_way
        said(f"{CALLS_AFTER * CALL} events were confirmed in {time.monotonic() - begin:.1f} s without broker {leader}")
        assert all(p[0] != leader and leader not in p[2] for p in replicas(settings, TOPIC))
        kafka.start(leader)
        await calls(CALLS_AFTER)

    asyncio.run(flow())
    assert producer.close() == 0
    assert stored(settings, TOPIC) == Counter(sent)
    kafka.wait()
    until = time.monotonic() + 60
    while not all(in_sync == copies for _, copies, in_sync in replicas(settings, TOPIC)):
        assert time.monotonic() < until, "the broker that came back is not in sync"
        time.sleep(0.2)
