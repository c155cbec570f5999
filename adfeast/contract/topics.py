"""The Kafka topics of a deployment: their names, partitions and settings. Whoever creates a topic asks here."""

from __future__ import annotations

from dataclasses import dataclass, field

from adfeast.contract.definitions import Definitions
from adfeast.contract.snapshots import TOPIC as SNAPSHOTS

# Their order within a partition is all that features depend on; two, so that nothing is built on there being one.
EVENT_PARTITIONS = 2
# A snapshot of 5,000 candidates with their embeddings is 4 MB before compression; Kafka takes 1 MB unless told.
SNAPSHOT_BYTES = 8 << 20
# A dead letter is the message itself with headers around it, and not compressed any more.
DEAD_LETTER_BYTES = 16 << 20


@dataclass(frozen=True)
class Topic:
    """How a topic is created when it is missing; one that exists is left as it is."""

    partitions: int
    configs: dict[str, str] = field(default_factory=dict)


DEAD_LETTERS = Topic(1, {"max.message.bytes": str(DEAD_LETTER_BYTES)})


def features_topic(project: str, view: str) -> str:
    """Where the values of a stream view go, as rows of adfeast.contract.rows."""
    return f"features.{project}.{view}"


def late_topic(project: str, view: str) -> str:
    """Where the events go that came behind the watermark of a stream view."""
    return f"late.{project}.{view}"


def dead_letter_topic(topic: str) -> str:
    """Where messages of `topic` go that are not valid in its format."""
    return f"{topic}.dead"


def fixed_topics() -> dict[str, Topic]:
    """The topics that no definition is needed for: the snapshots and their dead letters."""
    return {
        SNAPSHOTS: Topic(EVENT_PARTITIONS, {"max.message.bytes": str(SNAPSHOT_BYTES)}),
        dead_letter_topic(SNAPSHOTS): DEAD_LETTERS,
    }


def topics(definitions: Definitions) -> dict[str, Topic]:
    """Every topic that the programs read and write, by name."""
    found = fixed_topics()
    for topic in definitions.events:
        found |= {topic: Topic(EVENT_PARTITIONS), dead_letter_topic(topic): DEAD_LETTERS}
    for view in (v.name for v in definitions.views.values() if v.kind == "stream"):
        values, late = features_topic(definitions.project, view), late_topic(definitions.project, view)
        found |= {values: Topic(1), late: Topic(1), dead_letter_topic(values): DEAD_LETTERS}
    return found
