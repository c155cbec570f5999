"""Topics, end offsets and committed offsets."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from streaming.errors import StreamingError

Offsets = dict[tuple[str, int], int]
COORDINATOR_S = 15.0
NO_COORDINATOR = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
}


def admin(bootstrap: str) -> AdminClient:
    """A quiet admin client."""
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def ensure_topics(bootstrap: str, topics: Mapping[str, int]) -> None:
    """Creates the topics that are missing, with this many partitions.

    Raises:
        StreamingError: Kafka does not answer or refuses one.
    """
    client = admin(bootstrap)
    try:
        existing = client.list_topics(timeout=10).topics
        missing = [NewTopic(t, n) for t, n in topics.items() if t not in existing]
        futures = client.create_topics(missing, operation_timeout=20) if missing else {}
        for future in futures.values():
            try:
                future.result(30)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
    except KafkaException as error:
        raise StreamingError(f"topics could not be created at {bootstrap}: {error}") from error


def partitions(bootstrap: str, topics: Iterable[str]) -> list[TopicPartition]:
    """Raises: StreamingError: a topic is not there."""
    wanted = list(topics)
    known = admin(bootstrap).list_topics(timeout=10).topics
    for topic in wanted:
        if topic not in known:
            raise StreamingError(f"topic {topic!r} does not exist at {bootstrap}: run `adfeast stream submit`")
    return [TopicPartition(t, p) for t in wanted for p in known[t].partitions]


def end_offsets(bootstrap: str, topics: Iterable[str]) -> Offsets:
    """The offset after the last message of each partition."""
    asked = {p: OffsetSpec.latest() for p in partitions(bootstrap, topics)}
    client = admin(bootstrap)  # held: the futures of a client that is gone never end
    found = client.list_offsets(asked, request_timeout=10)
    return {(p.topic, p.partition): f.result(15).offset for p, f in found.items()}


def committed_offsets(bootstrap: str, group: str, topics: Iterable[str]) -> Offsets:
    """The next offset the group would read of each partition, 0 where it has committed none.

    A consumer is asked, which never joins the group: librdkafka 2.16's admin client dies (SIGSEGV, in a thread that no
    handler sees) when the group's coordinator is not there yet, as in the first seconds of a broker's life.

    Raises:
        StreamingError: a topic is not there, or the coordinator is not found in time.
    """
    asked, until = partitions(bootstrap, topics), time.monotonic() + COORDINATOR_S
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0}
    )
    try:
        while True:
            try:
                found = consumer.committed(asked, timeout=COORDINATOR_S)
                return {(p.topic, p.partition): max(p.offset, 0) for p in found}
            except KafkaException as error:
                if error.args[0].code() not in NO_COORDINATOR or time.monotonic() > until:
                    raise StreamingError(f"no committed offsets of group {group!r} at {bootstrap}: {error}") from error
            time.sleep(0.1)
    finally:
        consumer.close()
