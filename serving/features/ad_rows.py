"""Decoded ad rows of the DynamoDB tier, kept as columns for a short time.

Batch rows change a few times a day and the same ads stand in auction after auction, so most reads of that tier are the
same bytes again. (serving.features.shared_reads reads what is not here.)

Memory is `capacity` rows, allocated once; the row that came first makes room. What an ad lacks is kept too. Row times
are kept with the values, so the maximum age is judged at each request, not when a row is kept.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.features.columns import Rows
from serving.features.plan import Block

KEY_BYTES = 400  # of an id and its places in the dictionary and the list, at most
JITTER = 0.2  # of its time a row may expire early


def rows_within(block: Block, size: int) -> int:
    """How many rows of a block fit into so many bytes; at least one."""
    row = Rows(block, 1)
    each = sum(a.nbytes for a in (*row.arrays.values(), row.absent, row.times, row.unread)) + KEY_BYTES
    return max(1, size // each)


class RowCache:
    """Rows of one block by entity id.

    Args:
        capacity: rows kept at most.
        ttl_ms: how long a row may be answered after it was read; up to a fifth less, so that rows that were read
            together do not all have to be read again together.
        random_source: chooses how much less.
    """

    def __init__(self, block: Block, capacity: int, ttl_ms: int, random_source: random.Random | None = None) -> None:
        self._random = np.random.default_rng((random_source or random.Random()).getrandbits(64))
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
        # As if it had been read a little earlier.
        self._read_at[slots] = now_ms - (self._random.random(len(slots)) * JITTER * self._ttl_ms).astype(np.int64)

    def _slot(self, key: str) -> int:
        slot = self._slots.get(key)
        if slot is None:
            slot, self._next = self._next, (self._next + 1) % self._capacity
            former = self._owners[slot]
            if former is not None:
                del self._slots[former]
            self._slots[key], self._owners[slot] = slot, key
        return slot
