"""The rows of the feature topics: their bytes, and the layouts that say which features stand in one.

A row is little-endian: the form (1), the layout's id (8 bytes), `event_timestamp` in milliseconds (int64), then 8 bytes
a feature in the layout's order, int64 or float64. Its Kafka key is the entity key. A row without features is a
**watermark row**: its time says that every event up to it, if it came on time, is in the rows before it. Its key is a
zero byte and `<number>/<how many>`: the marks of all numbers together have gone every way that values go.

Every layout is kept by its id for ever (adfeast.contract.history), so rows of any job there ever was can be read. The
Java twin is streaming/java/src/main/java/adfeast/streaming/RowLayout.java.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from adfeast.contract.definitions import Feature, View
from adfeast.contract.history import History, layout_kind
from adfeast.settings import Settings

FORM = 1
# Rows of a former layout this near to the watermark of today's may be doubles of what its job writes.
BESIDE_MS = 60_000
HEAD = struct.Struct("<B8sq")
SQL_TYPES = {"int64": "BIGINT", "float64": "DOUBLE", "float32": "DOUBLE"}
_WATERMARK_KEY = re.compile(rb"\x00(\d{1,6})/(\d{1,6})")
CODES = {"BIGINT": "q", "DOUBLE": "d"}  # of `struct` and of numpy, with "<" before


@dataclass(frozen=True)
class Layout:
    """What stands in the rows of a view: `columns` are (feature, SQL type, how it is made), in order."""

    view: str
    join_key: str
    columns: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, view: View) -> Layout:
        """The layout of the rows that a view's job writes today."""
        return cls(view.name, view.join_key, tuple((f.name, SQL_TYPES[f.dtype], f.made) for f in view.features))

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """The inverse of `text`."""
        view, join_key, columns = json.loads(text)
        return cls(view, join_key, tuple((name, kind, made) for name, kind, made in columns))

    @cached_property
    def text(self) -> str:
        """Canonical JSON."""
        return json.dumps([self.view, self.join_key, self.columns], separators=(",", ":"))

    @cached_property
    def id(self) -> bytes:
        """Eight bytes; the history knows it by their hex digits."""
        return hashlib.sha256(self.text.encode()).digest()[:8]

    @cached_property
    def head(self) -> bytes:
        """The first nine bytes of each of its rows."""
        return bytes([FORM]) + self.id

    @property
    def size(self) -> int:
        """Bytes of a row with values."""
        return HEAD.size + 8 * len(self.columns)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of its rows with values in one structured array: `ms`, and `f0`, `f1`, ... for the columns."""
        columns = ((f"f{i}", f"<{CODES[kind]}") for i, (_, kind, _) in enumerate(self.columns))
        return np.dtype([("head", f"V{len(self.head)}"), ("ms", "<q"), *columns])

    def stored(self, view: View) -> list[tuple[str, Feature]]:
        """The fields of `dtype` that are kept, each with its feature as the view has it today.

        A feature that the view has no more, or has in another type, is left out.
        """
        today = {f.name: f for f in view.features}
        found = [(f"f{i}", today[n], kind) for i, (n, kind, _) in enumerate(self.columns) if n in today]
        return [(place, f) for place, f, kind in found if kind == "BIGINT" or f.dtype != "int64"]

    def encode(self, at_ms: int, values: Sequence[float] | None) -> bytes:
        """A row; without values a watermark row."""
        row = HEAD.pack(FORM, self.id, at_ms)
        if values is None:
            return row
        return row + struct.pack("<" + "".join(CODES[kind] for _, kind, _ in self.columns), *values)

    def decode(self, row: bytes) -> tuple[int, dict[str, float]]:
        """Time and values of a row of this layout; a watermark row has none.

        Raises:
            ValueError: it is no row of this layout.
        """
        if len(row) not in (HEAD.size, self.size) or row[: len(self.head)] != self.head:
            raise ValueError(f"{row[: HEAD.size].hex()} ({len(row)} bytes) is no row of {self.view} {self.id.hex()}")
        form = "<" + "".join(CODES[kind] for _, kind, _ in self.columns)
        values = struct.unpack_from(form, row, HEAD.size) if len(row) > HEAD.size else ()
        return HEAD.unpack_from(row)[2], dict(zip((name for name, _, _ in self.columns), values, strict=False))


def gives_way_until(ms: int, progress_ms: int | None) -> int:
    """The newest stored time that gives way to a row of the time `ms`.

    Equal times overwrite each other: they are corrections. But a former layout's row does not overwrite one of the
    same time where today's job is, or is about to be: that job would not write it again.

    Args:
        progress_ms: of a former layout's row, how far the rows of today's are; None for a row of today's.
    """
    return ms if progress_ms is None or ms > progress_ms + BESIDE_MS else ms - 1


def watermark_key(number: int, count: int) -> bytes:
    """Kafka key of one of `count` watermark rows, numbered from 0."""
    return b"\x00%d/%d" % (number, count)


def parse_watermark_key(key: bytes) -> tuple[int, int] | None:
    """The inverse: number and count, None for any other key."""
    found = _WATERMARK_KEY.fullmatch(key)
    return (int(found[1]), int(found[2])) if found else None


def record_layouts(settings: Settings, views: Iterable[View]) -> None:
    """Keeps the layouts of today for ever; before a job may write rows of them."""
    history = History(settings)
    for view in views:
        layout = Layout.of(view)
        history.record(layout_kind(view.name), layout.id.hex(), layout.text)


def known_layouts(settings: Settings, view: str) -> list[Layout]:
    """Every layout that a view ever had, in the order in which they were recorded."""
    return [Layout.from_json(entry.body) for entry in History(settings).entries(layout_kind(view))]
