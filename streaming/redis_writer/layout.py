"""Rows of one layout of a view as Redis commands take them: Feast's keys, fields and values, column by column.

`get_online_features` reads what becomes of them (adfeast/feast_ext/online_layout.py).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.definitions import View
from adfeast.contract.rows import Layout, gives_way_until
from adfeast.feast_ext.online_layout import entity_key, redis_field, redis_life, redis_time_field
from streaming.redis_writer.values import ENCODERS, bulk, times


@dataclass
class Progress:
    """How far the rows of a view's layout of today are, by the watermark rows that were read."""

    ms: int = 0


@dataclass(frozen=True)
class Rows:
    """Rows of one layout, one a key.

    Attributes:
        constant: arguments that all have in common; `width` the fields of each.
        keys: of the hashes, `arguments` what the script takes for each; both in RESP.
        sources: places of the rows in what they were made from.
        newest_ms: their newest time.
    """

    constant: bytes
    width: int
    keys: list[bytes]
    arguments: list[bytes]
    sources: list[int]
    newest_ms: int


class RowLayout:
    """Everything that is constant for one layout of a view's rows.

    A feature that the view has no more, or has in another type, is left out.

    Args:
        keep_s: how long a hash must not go once it was written.
        progress: of the layout that the view has today; all layouts of the view share it.
    """

    def __init__(self, layout: Layout, view: View, project: str, keep_s: int, progress: Progress) -> None:
        self.layout, self.view, self.progress = layout, view, progress
        self.current = layout == Layout.of(view)
        taken = layout.stored(view)
        self._columns = [(place, ENCODERS[feature.dtype]) for place, feature in taken]
        fields = [redis_time_field(view.name), *(redis_field(view.name, feature.name) for _, feature in taken)]
        self._width = len(fields)
        lives = [b"%d" % seconds for seconds in redis_life(keep_s)]
        self._constant = b"".join(map(bulk, [*lives, b"%d" % len(fields), *fields]))
        self._key = entity_key(layout.join_key, "")[:-4]
        self._project = project.encode()

    def table(self, rows: Sequence[bytes]) -> NDArray[Any]:
        """Rows of this layout, all of its size, as a structured array."""
        return np.frombuffer(b"".join(rows), self.layout.dtype)

    def rows(self, table: NDArray[Any], keys: Sequence[bytes]) -> Rows:
        """The newest row of each key, the later of equals."""
        order = np.argsort(table["ms"], kind="stable").tolist()
        places = list({keys[i]: i for i in order}.values())
        taken = table[places]
        ms = taken["ms"].tolist()
        columns = [make(taken[place]) for place, make in self._columns]
        limits = [bulk(b"%d" % self._limit(t)) for t in ms]
        return Rows(
            self._constant,
            self._width,
            [self._redis_key(keys[i]) for i in places],
            [b"".join(parts) for parts in zip(limits, times(ms), *columns, strict=True)],
            places,
            max(ms),
        )

    def _limit(self, ms: int) -> int:
        return gives_way_until(ms, None if self.current else self.progress.ms)

    def _redis_key(self, key: bytes) -> bytes:
        return bulk(b"%b%b%b%b" % (self._key, struct.pack("<I", len(key)), key, self._project))
