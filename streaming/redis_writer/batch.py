"""A batch of messages, column by column: rows to write, watermarks, and what is refused with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from confluent_kafka import Message

from adfeast.contract.event_rules import AHEAD_MS
from adfeast.contract.events import EVENT_TIME
from adfeast.contract.rows import HEAD, parse_watermark_key
from adfeast.feast_ext.online_layout import redis_watermark_field, redis_ways_field
from streaming.redis_writer.layout import RowLayout, Rows
from streaming.redis_writer.views import KnownViews

HEAD_BYTES = 9  # form and layout

NO_VIEW = "the registry has no stream view of this topic"
NO_LAYOUT = "no row of a known layout"
WRONG_SIZE = "not as long as a row of its layout"
NO_KEY = "its key is empty"
NO_WAY = "a row without values whose key is not that of a watermark"
NO_TIME = f"{EVENT_TIME} is not after 1970"
FUTURE = f"{EVENT_TIME} lies more than {AHEAD_MS // 1000} s in the future"


@dataclass
class Batch:
    """What is to be done with a batch.

    Attributes:
        rows: of each layout, with the messages that they were made from.
        watermarks: fields of the hash of watermarks with milliseconds; `ways` those with the number of ways.
        refused: messages that cannot be written, with the reason.
    """

    rows: list[tuple[RowLayout, Rows, list[Message]]] = field(default_factory=list)
    watermarks: dict[bytes, int] = field(default_factory=dict)
    ways: dict[bytes, int] = field(default_factory=dict)
    refused: list[tuple[Message, str]] = field(default_factory=list)


def read(messages: Sequence[Message], views: KnownViews, now_ms: int) -> Batch:
    """Groups messages by topic, layout and length, and reads each group at once."""
    groups: dict[tuple[str, bytes, int], list[Message]] = {}
    for message in messages:
        value = message.value() or b""
        groups.setdefault((message.topic(), value[:HEAD_BYTES], len(value)), []).append(message)
    batch = Batch()
    for (topic, head, size), group in groups.items():
        layout = views.find(topic, head)
        if layout is None and size == HEAD.size and not views.knows(topic):
            continue  # the mark of a view that is no more says nothing of any value
        if layout is None:
            reason = NO_LAYOUT if views.knows(topic) else NO_VIEW
            batch.refused += [(message, reason) for message in group]
        elif size == layout.layout.size:
            _rows(batch, layout, group, now_ms)
        elif size == HEAD.size:
            _watermarks(batch, layout, group, now_ms)
        else:
            batch.refused += [(message, WRONG_SIZE) for message in group]
    return batch


def _rows(batch: Batch, layout: RowLayout, group: list[Message], now_ms: int) -> None:
    table = layout.table([message.value() for message in group])
    keys = [message.key() or b"" for message in group]
    bad = np.select(
        [np.array([not key for key in keys]), table["ms"] <= 0, table["ms"] > now_ms + AHEAD_MS], [1, 2, 3], 0
    )
    if bad.any():
        # A row from the future would be the newest for ever and nothing could overwrite it.
        reasons = ("", NO_KEY, NO_TIME, FUTURE)
        batch.refused += [(m, reasons[b]) for m, b in zip(group, bad.tolist(), strict=True) if b]
        good = np.flatnonzero(bad == 0).tolist()
        table, keys, group = table[good], [keys[i] for i in good], [group[i] for i in good]
    if group:
        batch.rows.append((layout, layout.rows(table, keys), group))


def _watermarks(batch: Batch, layout: RowLayout, group: list[Message], now_ms: int) -> None:
    view = layout.view.name
    for message in group:
        place = parse_watermark_key(message.key() or b"")
        ms = HEAD.unpack(message.value())[2]
        if place is None or ms <= 0 or ms > now_ms + AHEAD_MS:
            batch.refused.append((message, NO_WAY if place is None else NO_TIME if ms <= 0 else FUTURE))
            continue
        way, ways = place
        name = redis_watermark_field(view, way)
        batch.watermarks[name] = max(ms, batch.watermarks.get(name, 0))
        if layout.current:
            batch.ways[redis_ways_field(view)] = ways
            layout.progress.ms = max(ms, layout.progress.ms)
