"""What must be true after a drill: nothing failed, nothing was lost or counted twice, every online value is right."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow.dataset as ds
from confluent_kafka import Consumer, TopicPartition

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EVENT_ID
from adfeast.contract.topics import dead_letter_topic, late_topic
from adfeast.feast_ext.store import open_store
from adfeast.lake import filesystem, parquet_files
from adfeast.settings import Settings
from demo.report.judge import online
from drills.traffic import Event
from streaming.kafka_admin import end_offsets
from streaming.marks import decode_mark
from tests.parity.naive import value


def messages(settings: Settings, topic: str) -> list[bytes]:
    """Everything a topic holds now."""
    ends = end_offsets(settings.kafka_bootstrap, [topic])
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "drill",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    found: list[bytes] = []
    try:
        for (name, partition), end in ends.items():
            consumer.assign([TopicPartition(name, partition, 0)])
            taken = 0
            while taken < end:
                batch = [m for m in consumer.consume(min(1000, end - taken), 5.0) if m.error() is None]
                found += [m.value() or b"" for m in batch]
                taken += len(batch)
    finally:
        consumer.close()
    return found


def archived(settings: Settings, topic: str) -> list[str]:
    """Event ids of the archived rows of a topic, as often as each stands there."""
    fs, path = filesystem(settings, settings.lake_path("events", topic))
    table = ds.dataset(parquet_files(fs, path), filesystem=fs, format="parquet").to_table(columns=[EVENT_ID])
    return table[EVENT_ID].to_pylist()  # type: ignore[no-any-return]


def lost_or_doubled(settings: Settings, topic: str, acknowledged: Iterable[Event]) -> list[str]:
    """One text a promise that the archive of a topic breaks; a repeated call stands there as often as it was sent."""
    ids, held = archived(settings, topic), messages(settings, topic)
    events = [m for m in held if decode_mark(m) is None]
    dead = messages(settings, dead_letter_topic(topic))
    problems = []
    missing = {e[EVENT_ID] for e in acknowledged} - set(ids)
    if missing:
        problems.append(f"{len(missing)} acknowledged {topic} are not archived, such as {sorted(missing)[:3]}")
    if dead:
        problems.append(f"{len(dead)} {topic} were not decodable")
    if len(ids) != len(events) - len(dead):
        problems.append(f"Kafka holds {len(events)} {topic}, of which {len(dead)} dead; the archive holds {len(ids)}")
    return problems


def wrong_values(
    settings: Settings, definitions: Definitions, events: dict[str, list[Event]], at_ms: int
) -> tuple[int, int, list[str]]:
    """Compares every value of every stream view with the naive twin.

    Args:
        events: acknowledged events by topic, each once.
        at_ms: event time to which the stream side has come.

    Returns:
        how many values were compared, how many events were late, and one text a view's feature with wrong ones.
    """
    store, compared, too_late, problems = open_store(settings), 0, 0, []
    for view in (v for v in definitions.views.values() if v.kind == "stream"):
        late = {json.loads(m)[EVENT_ID] for m in messages(settings, late_topic(settings.project, view.name))}
        too_late += len(late)
        by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in events[view.topic]:
            by_key[event[view.join_key]].append(event)
        keys = sorted(by_key)
        found = online(store, [view], keys)
        for aggregation in view.aggregations:
            # A job that is built again reads the partitions in another order: what was late may be in time then.
            whole = [value(aggregation, by_key[key], at_ms) for key in keys]
            timely = [value(aggregation, [e for e in by_key[k] if e[EVENT_ID] not in late], at_ms) for k in keys]
            got = found[aggregation.feature]
            compared += len(keys)
            wrong = [each for each in zip(keys, got, whole, timely, strict=True) if each[1] not in each[2:]]
            if wrong:
                problems.append(f"{view.name}:{aggregation.feature} of {len(wrong)} keys is wrong: {wrong[:3]}")
    return compared, too_late, problems
