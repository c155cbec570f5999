"""The Kafka topics of the loop, created with explicit partitions; the broker creates none by itself."""

from __future__ import annotations

import logging

from adfeast.contract.events import CLICKS, IMPRESSIONS, dead_letter_topic
from adfeast.contract.snapshots import TOPIC as SNAPSHOTS
from adfeast.errors import DefinitionError
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from streaming.kafka_admin import ensure_topics
from streaming.plan import features_topic, late_topic, stream_views

log = logging.getLogger(__name__)

PARTITIONS = {IMPRESSIONS: 2, CLICKS: 2, SNAPSHOTS: 2}
# A snapshot of 5,000 candidates with their embeddings is 4 MB before compression; Kafka takes 1 MB unless told.
CONFIG = {SNAPSHOTS: {"max.message.bytes": str(8 << 20)}}


def wanted(settings: Settings) -> dict[str, int]:
    """Topic to number of partitions; those of the definitions as far as they are applied yet."""
    topics = dict(PARTITIONS)
    try:
        definitions = load_definitions(settings)
    except DefinitionError as error:
        log.info("only the fixed topics: %s", error)
        return topics | {dead_letter_topic(t): 1 for t in topics}
    topics |= {topic: PARTITIONS.get(topic, 2) for topic in definitions.events}
    topics |= {dead_letter_topic(t): 1 for t in topics}
    views = [v.name for v in stream_views(definitions)]
    return topics | {topic(view): 1 for topic in (features_topic, late_topic) for view in views}


def create(settings: Settings) -> list[str]:
    """Creates the topics that are missing, and returns their names.

    Raises:
        StreamingError: the broker does not answer or refused one.
    """
    return ensure_topics(settings.kafka_bootstrap, wanted(settings), CONFIG)
