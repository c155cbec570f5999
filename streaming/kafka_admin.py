"""Kafka's control side, by kafka-python: topics, groups, end offsets and committed offsets.

Messages go through librdkafka, which is many times as fast. Control does not: when a group has no coordinator yet, as
in the first seconds of a broker's life, librdkafka 2.16's admin client ends the whole process (SIGSEGV in a thread of
its own).
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError, NoError, SaslAuthenticationFailedError, TopicAlreadyExistsError
from kafka.net.compat import KafkaNetClient
from kafka.structs import OffsetAndMetadata

from adfeast.access import KafkaAccess
from adfeast.contract.topics import APPEND_TIME, Topic
from streaming.errors import StreamingError

log = logging.getLogger(__name__)
Kafka = str | KafkaAccess  # an address is enough where everybody may come in
Offsets = dict[tuple[str, int], int]
Found = TypeVar("Found")
PATIENCE_S = 15.0
PAUSE_S = 0.1
# It warns of every refused connection; the caller gets an error.
logging.getLogger("kafka").setLevel(logging.CRITICAL)
# Given to librdkafka's clients, which else write every refused connection to standard error.
quiet = logging.getLogger("streaming.librdkafka")
quiet.setLevel(logging.CRITICAL)


@contextmanager
def admin(bootstrap: Kafka, patience_s: float = PATIENCE_S) -> Iterator[KafkaAdminClient]:
    """A connected client, closed at the end.

    Raises:
        StreamingError: Kafka does not answer in time, or refuses what is asked within the block.
    """
    access = KafkaAccess(bootstrap) if isinstance(bootstrap, str) else bootstrap
    wait_ms, connections = int(patience_s * 1000), []

    def connection(**config: Any) -> KafkaNetClient:
        connections.append(KafkaNetClient(**config))
        return connections[0]

    try:
        try:
            yield KafkaAdminClient(
                **access.kafka_python(),
                bootstrap_timeout_ms=wait_ms,
                request_timeout_ms=wait_ms,
                kafka_client=connection,
            )
        finally:
            # Not the client's own `close`: one that could not connect is no client yet, but has a thread that tries on.
            connections[0].close()
    except SaslAuthenticationFailedError as error:
        raise StreamingError(access.refused(error)) from error
    except KafkaError as error:
        raise StreamingError(access.failed(error)) from error


def ensure_topics(bootstrap: Kafka, topics: Mapping[str, Topic]) -> list[str]:
    """Creates the topics that are missing and returns their names once they can be used.

    Of a topic that is there only the kind of its timestamps is set, where it must be the broker's own time: messages it
    holds already keep their producers' time, and their watermark stays as far as one of them pushes it.

    Raises:
        StreamingError: Kafka does not answer or refuses one.
    """
    created = []
    with admin(bootstrap) as client:
        present = set(client.list_topics())
        _stamp_by_broker(client, bootstrap, sorted(n for n in present & topics.keys() if _by_broker(topics[n])))
        for name in sorted(topics.keys() - present):
            wanted = topics[name]
            spec = {
                "num_partitions": wanted.partitions,
                "replication_factor": wanted.replication,
                "configs": wanted.configs,
            }
            try:
                client.create_topics({name: spec}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                continue  # somebody else was as quick
            created.append(name)
    return created


def _by_broker(topic: Topic) -> bool:
    return topic.configs.items() >= APPEND_TIME.items()


def _stamp_by_broker(client: KafkaAdminClient, bootstrap: Kafka, names: list[str]) -> None:
    ((key, wanted),) = APPEND_TIME.items()
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, [key]) for name in names]
    found = client.describe_configs(asked, config_filter="all").get("topic", {}) if asked else {}
    others = [name for name in names if found[name][key]["value"] != wanted]
    if not others:
        return
    changes = [ConfigResource(ConfigResourceType.TOPIC, name, {key: wanted}) for name in others]
    done = client.alter_configs(changes)["topic"]
    if refused := {name: said for name, said in done.items() if said != "OK"}:
        raise StreamingError(f"Kafka at {bootstrap}: {key}={wanted} cannot be set: {refused}")
    log.info("messages of %s are stamped by the broker from now on", ", ".join(others))


def partitions(bootstrap: Kafka, topics: Iterable[str]) -> list[TopicPartition]:
    """Raises: StreamingError: a topic is not there."""
    with admin(bootstrap) as client:
        return _partitions(client, bootstrap, topics)


def end_offsets(bootstrap: Kafka, topics: Iterable[str]) -> Offsets:
    """The offset after the last message of each partition.

    Raises:
        StreamingError: a topic is not there, or Kafka does not answer.
    """
    return _offsets(bootstrap, topics, OffsetSpec.LATEST)


def first_offsets(bootstrap: Kafka, topics: Iterable[str]) -> Offsets:
    """The offset of the first message of each partition that Kafka still holds, or of the next one if it holds none.

    Raises:
        StreamingError: a topic is not there, or Kafka does not answer.
    """
    return _offsets(bootstrap, topics, OffsetSpec.EARLIEST)


@dataclass(frozen=True)
class Counted:
    """Messages of a topic: `ever` those it has held, `since` those that it took since some time."""

    ever: int
    since: int


def counted(bootstrap: Kafka, topics: Iterable[str], since_ms: int) -> dict[str, Counted]:
    """How many messages each topic has taken, over its partitions and by the messages' own timestamps.

    Raises:
        StreamingError: a topic is not there, or Kafka does not answer.
    """
    with admin(bootstrap) as client:
        places = _partitions(client, bootstrap, topics)
        ends = _patiently(lambda: client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST)))
        first = _patiently(lambda: client.list_partition_offsets(dict.fromkeys(places, since_ms)))
    ever, since = Counter[str](), Counter[str]()
    for p in places:
        end = ends[p].offset
        ever[p.topic] += end
        # No message is as young: -1.
        since[p.topic] += end - first[p].offset if first[p].offset >= 0 else 0
    return {p.topic: Counted(ever[p.topic], max(0, since[p.topic])) for p in places}


def committed_offsets(bootstrap: Kafka, group: str, topics: Iterable[str]) -> Offsets:
    """The next offset the group would read of each partition, 0 where it has committed none.

    Raises:
        StreamingError: a topic is not there, or the group has no coordinator in time.
    """
    return committed_by_group(bootstrap, {group: topics})[group]


def committed_by_group(bootstrap: Kafka, groups: Mapping[str, Iterable[str]]) -> dict[str, Offsets]:
    """`committed_offsets` of several groups, each of its topics, over one connection.

    Raises:
        StreamingError: a topic is not there, or a group has no coordinator in time.
    """
    wanted = {group: list(topics) for group, topics in groups.items()}
    found: dict[str, Offsets] = {}
    with admin(bootstrap) as client:
        places = _partitions(client, bootstrap, sorted({t for topics in wanted.values() for t in topics}))
        for group, topics in wanted.items():
            asked = {group: [p for p in places if p.topic in topics]}
            offsets = _patiently(partial(client.list_group_offsets, asked))[group]
            found[group] = {(p.topic, p.partition): max(at.offset, 0) for p, at in offsets.items()}
    return found


def commit_offsets(bootstrap: Kafka, group: str, offsets: Offsets) -> None:
    """Sets what a group without members would read next.

    Raises:
        StreamingError: Kafka does not answer or refuses.
    """
    wanted = {TopicPartition(*place): OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
    with admin(bootstrap) as client:
        for place, problem in _patiently(lambda: client.alter_group_offsets(group, wanted)).items():
            if problem is not NoError:
                raise StreamingError(f"offset {wanted[place].offset} of {place} cannot be set for {group}: {problem}")


def assigned_partitions(bootstrap: Kafka, group: str, patience_s: float = PATIENCE_S) -> int:
    """Partitions that a stable consumer group has given to its members; 0 while it is not stable.

    Raises:
        StreamingError: Kafka does not answer.
    """
    with admin(bootstrap, patience_s) as client:
        found = client.describe_groups([group])[group]
        if found["group_state"] != "Stable":
            return 0
        given = [
            topic["partitions"] for m in found["members"] for topic in m["member_assignment"]["assigned_partitions"]
        ]
        return sum(map(len, given))


def _offsets(bootstrap: Kafka, topics: Iterable[str], which: OffsetSpec) -> Offsets:
    with admin(bootstrap) as client:
        asked = dict.fromkeys(_partitions(client, bootstrap, topics), which)
        found = _patiently(lambda: client.list_partition_offsets(asked))
        return {(p.topic, p.partition): at.offset for p, at in found.items()}


def _partitions(client: KafkaAdminClient, bootstrap: Kafka, topics: Iterable[str]) -> list[TopicPartition]:
    wanted = list(topics)
    found = {t["name"]: [p["partition_index"] for p in t["partitions"]] for t in client.describe_topics(wanted)}
    for topic in wanted:
        if not found.get(topic):
            raise StreamingError(f"topic {topic!r} does not exist at {bootstrap}: run `adfeast stream submit`")
    return [TopicPartition(t, p) for t in wanted for p in sorted(found[t])]


def _patiently(ask: Callable[[], Found]) -> Found:
    """Asks again while the answer is an error that passes."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaError as error:
            if not error.retriable or time.monotonic() > until:
                raise
        time.sleep(PAUSE_S)
