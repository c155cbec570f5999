"""The Kafka topics of a deployment: their names, partitions and settings. Whoever creates a topic asks here."""

from __future__ import annotations

from dataclasses import dataclass, field

from adfeast.contract.definitions import Definitions
from adfeast.contract.snapshots import TOPIC as SNAPSHOTS
from adfeast.settings import Settings

# A snapshot of 5,000 candidates with their embeddings is 4 MB before compression; Kafka takes 1 MB unless told.
SNAPSHOT_BYTES = 8 << 20
# By it the jobs judge whether an event's time can be true: the broker's own time, which no producer can set.
APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
# A dead letter is the message itself with headers around it, and not compressed any more.
DEAD_LETTER_BYTES = 16 << 20


@dataclass(frozen=True)
class Topic:
    """How a topic is created when it is missing; of one that exists only the kind of its timestamps is set."""

    partitions: int
    configs: dict[str, str] = field(default_factory=dict)
    replication: int = 1


def features_topic(project: str, view: str) -> str:
    """Where the values of a stream view go, as rows of adfeast.contract.rows."""
    return f"features.{project}.{view}"


def writer_group(project: str) -> str:
    """Consumer group of the Redis writer: what lies before the offsets it has committed is in Redis."""
    return f"{project}-redis-writer"


def late_topic(project: str, view: str) -> str:
    """Where the events go that came behind the watermark of a stream view."""
    return f"late.{project}.{view}"


def labels_topic(project: str) -> str:
    """Where the states of labels go, one row for each change of one (adfeast/contract/label_states.py)."""
    return f"labels.{project}"


def refused_labels_topic(project: str) -> str:
    """Where the impressions and clicks go that are in no label's row."""
    return f"labels.{project}.refused"


def dead_letter_topic(topic: str) -> str:
    """Where messages of `topic` go that are not valid in its format."""
    return f"{topic}.dead"


def dead_letters(settings: Settings) -> Topic:
    """How a topic of dead letters is created."""
    return _topic(settings, 1, DEAD_LETTER_BYTES)


def fixed_topics(settings: Settings) -> dict[str, Topic]:
    """The topics that no definition is needed for: the snapshots and their dead letters."""
    return {
        SNAPSHOTS: _topic(settings, settings.event_partitions, SNAPSHOT_BYTES, by_broker=True),
        dead_letter_topic(SNAPSHOTS): dead_letters(settings),
    }


def topics(definitions: Definitions, settings: Settings) -> dict[str, Topic]:
    """Every topic that the programs read and write, by name.

    The order within a partition is all that features depend on, and the key of a value always goes to the same one.
    """
    found = fixed_topics(settings)
    for topic in definitions.events:
        found |= {
            topic: _topic(settings, settings.event_partitions, by_broker=True),
            dead_letter_topic(topic): dead_letters(settings),
        }
    for view in (v.name for v in definitions.views.values() if v.kind == "stream"):
        values, late = features_topic(definitions.project, view), late_topic(definitions.project, view)
        found |= {
            values: _topic(settings, settings.feature_partitions),
            late: _topic(settings, 1),
            dead_letter_topic(values): dead_letters(settings),
        }
    if settings.label_window_s is not None:
        found |= {
            labels_topic(definitions.project): _topic(settings, settings.feature_partitions),
            refused_labels_topic(definitions.project): _topic(settings, 1),
        }
    return found


def _topic(settings: Settings, partitions: int, message_bytes: int | None = None, *, by_broker: bool = False) -> Topic:
    configs = dict(APPEND_TIME) if by_broker else {}
    if message_bytes is not None:
        configs["max.message.bytes"] = str(message_bytes)
    if settings.kafka_retention_ms is not None:
        configs["retention.ms"] = str(settings.kafka_retention_ms)
    if settings.kafka_replication > 2:
        configs["min.insync.replicas"] = "2"  # what is acknowledged outlives any one broker
    return Topic(partitions, configs, settings.kafka_replication)
