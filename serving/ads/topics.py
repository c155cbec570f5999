"""Rows of the feature topics for a table of ads: read as the Redis writer reads them, by the same rules.

What the writer puts aside as a dead letter is left out here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions, View
from adfeast.contract.event_rules import AHEAD_MS
from adfeast.contract.rows import HEAD, Layout, gives_way_until, known_layouts, parse_watermark_key
from adfeast.contract.topics import features_topic
from adfeast.feast_ext.online_layout import redis_watermark_field, redis_ways_field
from adfeast.settings import Settings
from serving.ads.layout import followed_views

log = logging.getLogger(__name__)
RELOAD_MS = 2_000  # between two looks for layouts that are not known: garbage must not have them read for each row


@dataclass(frozen=True)
class ViewRows:
    """Rows of one layout of a view, one an ad.

    Attributes:
        table: structured array as `layout.dtype` says.
        limits: int64: for each row the newest stored time that gives way to it.
    """

    view: View
    layout: Layout
    ads: list[str]
    table: NDArray[Any]
    limits: NDArray[np.int64]


@dataclass
class Heard:
    """What a batch of messages says.

    Attributes:
        rows: in the order in which they are to be written.
        watermarks: fields with values as the Redis writer keeps them.
    """

    rows: list[ViewRows] = field(default_factory=list)
    watermarks: dict[bytes, int] = field(default_factory=dict)
    ways: dict[bytes, int] = field(default_factory=dict)


class FeatureTopics:
    """The topics of the stream views of ads, and every layout that these ever had."""

    def __init__(self, settings: Settings, definitions: Definitions, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._views: dict[str, View] = {}
        self._layouts: dict[tuple[str, bytes], Layout] = {}
        self._asked: dict[tuple[str, bytes], int] = {}
        self._progress: dict[str, int] = {}
        self.bring_in_line(definitions)

    def bring_in_line(self, definitions: Definitions) -> None:
        """Takes over what is applied now."""
        followed = followed_views(definitions, "stream")
        self._views = {features_topic(definitions.project, v.name): v for v in followed}
        self._load(self._views)

    @property
    def names(self) -> list[str]:
        """The topics."""
        return list(self._views)

    def _load(self, topics: Iterable[str]) -> None:
        for topic in topics:
            for layout in known_layouts(self._settings, self._views[topic].name):
                self._layouts[topic, layout.head] = layout

    def _find(self, topic: str, head: bytes) -> Layout | None:
        found = self._layouts.get((topic, head))
        now = self._clock.now_ms()
        if found is None and topic in self._views and now - self._asked.get((topic, head), -RELOAD_MS) >= RELOAD_MS:
            self._asked = {k: ms for k, ms in self._asked.items() if now - ms < RELOAD_MS} | {(topic, head): now}
            self._load([topic])
        return self._layouts.get((topic, head))

    def read(self, messages: Sequence[Message]) -> Heard:
        """Groups messages by topic, layout and length, and reads each group at once."""
        groups: dict[tuple[str, bytes, int], list[Message]] = {}
        for message in messages:
            value = message.value() or b""
            groups.setdefault((message.topic(), value[: HEAD.size - 8], len(value)), []).append(message)
        heard, now = Heard(), self._clock.now_ms()
        for (topic, head, size), group in groups.items():
            layout, view = self._find(topic, head), self._views.get(topic)
            if layout is None or view is None:
                continue
            if size == layout.size and layout.columns:
                self._rows(heard, view, layout, group, now)
            elif size == HEAD.size:
                self._marks(heard, view, layout, group, now)
        return heard

    def _rows(self, heard: Heard, view: View, layout: Layout, group: list[Message], now: int) -> None:
        table = np.frombuffer(b"".join(m.value() for m in group), layout.dtype)
        ms = table["ms"]
        sound = (ms > 0) & (ms <= now + AHEAD_MS)
        newest: dict[str, int] = {}
        for i in np.argsort(ms, kind="stable").tolist():  # of equals the later
            if sound[i] and (ad := _text(group[i].key())):
                newest[ad] = i
        if newest:
            places = list(newest.values())
            progress = None if layout == Layout.of(view) else self._progress.get(view.name, 0)
            limits = [gives_way_until(t, progress) for t in ms[places].tolist()]
            heard.rows.append(ViewRows(view, layout, list(newest), table[places], np.array(limits, np.int64)))

    def _marks(self, heard: Heard, view: View, layout: Layout, group: list[Message], now: int) -> None:
        for message in group:
            place, ms = parse_watermark_key(message.key() or b""), HEAD.unpack(message.value())[2]
            if place is None or ms <= 0 or ms > now + AHEAD_MS:
                continue
            name = redis_watermark_field(view.name, place[0])
            heard.watermarks[name] = max(ms, heard.watermarks.get(name, 0))
            if layout == Layout.of(view):
                heard.ways[redis_ways_field(view.name)] = place[1]
                self._progress[view.name] = max(ms, self._progress.get(view.name, 0))


def _text(key: bytes | None) -> str:
    """The id of an ad; empty for what is none that a request can name."""
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""
