"""How far the Kafka sources of a job had read when a savepoint was taken.

A source asks Kafka to commit its offsets when a savepoint is complete, and is closed by the same savepoint: on a busy
machine the request may never leave. Whoever goes on at the committed offsets would then archive a second time what
lies between. So the offsets are taken from where they are certain: the state of the sources, in which Kafka's connector
writes a split as topic (length and UTF-8), partition, next offset and last offset, big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from adfeast.settings import Settings
from streaming.checkpoints import read_files
from streaming.kafka_admin import Offsets

_SPLIT = struct.Struct(">iqq")
_NO_END = -(1 << 63)  # what a source that never ends has for its last offset


def source_positions(settings: Settings, path: str, topics: Iterable[str]) -> Offsets:
    """The next offset to read of each partition; absent where nothing was read yet.

    The state of a source holds a partition twice, as it was assigned and as it was read: the later one counts.

    Args:
        path: of the savepoint, as Flink gives it.
    """
    found: Offsets = {}
    for state in read_files(settings, path):
        for topic in topics:
            name = struct.pack(">H", len(topic.encode())) + topic.encode()
            at = state.find(name)
            while at >= 0:
                after = at + len(name)
                if after + _SPLIT.size <= len(state):
                    partition, offset, end = _SPLIT.unpack_from(state, after)
                    if end == _NO_END and partition >= 0 and offset >= 0:
                        found[topic, partition] = max(offset, found.get((topic, partition), 0))
                at = state.find(name, after)
    return found
