"""What the stream job has written of one impression's label, read from its topics."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from adfeast.access import KafkaAccess
from adfeast.contract.events import EVENT_ID, EVENT_TIME, IMPRESSION_ID
from adfeast.contract.label_states import Label, Refused
from adfeast.contract.topics import labels_topic, refused_labels_topic
from adfeast.settings import Settings
from streaming.errors import NotCaughtUp, StreamingError
from streaming.kafka_admin import end_offsets, first_offsets, quiet

DEADLINE_S = 120.0
BATCH = 1_000


@dataclass(frozen=True)
class Written:
    """A row of a label and when Kafka got it, in milliseconds."""

    written_ms: int
    label: Label


@dataclass(frozen=True)
class StreamLabel:
    """All that the stream job has said of an impression, in its order; a row that was written again stands twice."""

    rows: tuple[Written, ...]
    refused: tuple[Refused, ...]


def label_rows(
    settings: Settings, impression_id: str, since_ms: int = 0, deadline_s: float = DEADLINE_S
) -> StreamLabel:
    """Looks through what the topics of labels hold since a time, Kafka's.

    Raises:
        StreamingError: Kafka does not answer, or has no such topics.
        NotCaughtUp: they hold more than can be read before the deadline.
    """
    rows, refused = [], []
    key = impression_id.encode()
    topics = (labels_topic(settings.project), refused_labels_topic(settings.project))
    for message in _messages(settings, topics, since_ms, deadline_s):
        if message.key() != key:
            continue
        value = json.loads(message.value())
        if message.topic() == topics[0]:
            rows.append(Written(message.timestamp()[1], decode_label(value)))
        else:
            refused.append(Refused(value[IMPRESSION_ID], value[EVENT_ID], value[EVENT_TIME], value["reason"]))
    return StreamLabel(tuple(rows), tuple(refused))


def decode_label(value: dict[str, Any]) -> Label:
    """A row of the topic; columns that a later job adds are left out."""
    known: dict[str, Any] = {name: value.get(name) for name in Label.__dataclass_fields__}
    return Label(**known)


def _messages(settings: Settings, topics: tuple[str, ...], since_ms: int, deadline_s: float) -> Iterator[Message]:
    access = KafkaAccess.of(settings)
    ends, firsts = end_offsets(access, topics), first_offsets(access, topics)
    until = time.monotonic() + deadline_s
    own = {"group.id": f"{settings.project}-labels-audit", "enable.auto.commit": False}
    consumer = Consumer({**access.librdkafka(), **own}, logger=quiet)
    try:
        places = [TopicPartition(topic, partition, since_ms) for topic, partition in ends]
        found = {(p.topic, p.partition): p.offset for p in consumer.offsets_for_times(places, timeout=deadline_s)}
        # A negative offset is the end: nothing is that young.
        begin = {place: max(at, firsts[place]) if at >= 0 else ends[place] for place, at in found.items()}
        left = sum(ends[place] - at for place, at in begin.items())
        consumer.assign([TopicPartition(*place, at) for place, at in begin.items() if at < ends[place]])
        while left > 0:
            if time.monotonic() > until:
                raise NotCaughtUp(
                    f"{', '.join(topics)}: {left} messages are unread after {deadline_s:.0f} s; ask since later"
                )
            for message in consumer.consume(min(BATCH, left), timeout=1):
                if message.error():
                    raise StreamingError(f"Kafka at {access}: {message.error()}")
                if message.offset() < ends[message.topic(), message.partition()]:
                    left -= 1
                    yield message
    except KafkaException as error:
        raise StreamingError(f"Kafka at {access}: {error}") from error
    finally:
        consumer.close()
