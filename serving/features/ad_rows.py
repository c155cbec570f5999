"""Decoded ad rows of the DynamoDB tier, kept as columns for a short time.

Batch rows change a few times a day and the same ads stand in auction after auction, so most reads of that tier are the
same bytes again. Memory is `capacity` rows, allocated once; the row that came first makes room. What an ad lacks is
kept too. Row times are kept with the values, so the maximum age is judged at each request, not when a row is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.features.columns import Rows
from serving.features.plan import Block


class RowCache:
    """Rows of one block by entity id.

    Args:
        capacity: rows kept at most.
        ttl_ms: how long a row may be answered after it was read.
    """

    def __init__(self, block: Block, capacity: int, ttl_ms: int) -> None:
        self._block, self.rows = block, Rows(block, capacity)
        self._capacity, self._ttl_ms = capacity, ttl_ms
        self._slots: dict[str, int] = {}
        self._owners: list[str | None] = [None] * capacity
        self._read_at = np.zeros(capacity, np.int64)
        self._next = 0

    def __len__(self) -> int:
        return len(self._slots)

    def keys(self) -> list[str]:
        """Entity ids of the rows that are kept."""
        return list(self._slots)

    def find(self, keys: Sequence[str], now_ms: int) -> NDArray[np.intp]:
        """Position of each key's row in `rows`, -1 where it must be read. Valid until the next await."""
        get = self._slots.get
        slots = np.fromiter([get(key, -1) for key in keys], np.intp, len(keys))
        slots[self._read_at[slots] < now_ms - self._ttl_ms] = -1
        return slots

    def take(self, keys: Sequence[str], now_ms: int) -> tuple[Rows, list[int]]:
        """A copy of the rows of `keys`, and the positions of those that must be read: they hold anything."""
        slots = self.find(keys, now_ms)
        rows = Rows(self._block, len(keys))
        rows.copy_from(slice(None), self.rows, slots)
        return rows, np.flatnonzero(slots < 0).tolist()

    def take_old(self, keys: Sequence[str]) -> Rows:
        """A copy of the rows of `keys`, however long ago they were read: for when they cannot be read again. Those
        that are not here are unread."""
        slots = np.fromiter([self._slots.get(key, -1) for key in keys], np.intp, len(keys))
        rows, kept = Rows.not_read(self._block, len(keys)), np.flatnonzero(slots >= 0)
        rows.copy_from(kept, self.rows, slots[kept])
        return rows

    def put(self, keys: Sequence[str], rows: Rows, now_ms: int) -> None:
        """Keeps the rows of `keys`."""
        slots = np.fromiter([self._slot(key) for key in keys], np.intp, len(keys))
        self.rows.copy_from(slots, rows, slice(None))
        self._read_at[slots] = now_ms

    def _slot(self, key: str) -> int:
        slot = self._slots.get(key)
        if slot is None:
            slot, self._next = self._next, (self._next + 1) % self._capacity
            former = self._owners[slot]
            if former is not None:
                del self._slots[former]
            self._slots[key], self._owners[slot] = slot, key
        return slot
