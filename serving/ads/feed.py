"""One table and what has been put into it: rows and watermarks of the stream side, whole ads out of the stores.

An ad comes in by a read of both stores. That read holds everything that lies before the offsets from which the topics
are followed (the Redis writer had committed them), and every row from there on is written over it if it is not older.
So the table has what Redis will have, and an ad that is not in it is left to the stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.definitions import Feature
from adfeast.contract.signature import AD
from adfeast.feast_ext.online_layout import view_watermark
from serving.ads.stores import read_ads
from serving.ads.table import TOGETHER, Writing, WrittenTable, fits
from serving.ads.topics import Heard, ViewRows
from serving.features.plan import DYNAMODB, REDIS, Plan
from serving.features.reader import Tiers
from serving.features.values import FLOAT32_MAX


class Feed:
    """Fills one table.

    Args:
        plan: of its columns, made by `plan_of_ads`.
        watermarks: the fields of those that Redis had before any ad of a new table was read there.

    Attributes:
        waiting: ads that are to come in.
    """

    def __init__(
        self, table: WrittenTable, plan: Plan, tiers: Tiers, watermarks: Mapping[bytes, bytes] | None = None
    ) -> None:
        self.table, self.plan, self._tiers = table, plan, tiers
        self.waiting: list[str] = []
        self._watermarks = dict(watermarks or {})
        self._left: set[str] = set()  # views of which a feature is another now: nothing says how far they are

    def lacking(self, ads: Iterable[str]) -> list[str]:
        """Those of `ads` that are not in the table and could be, each once."""
        unique = list(dict.fromkeys(ads))
        slots = self.table.find(unique)
        return [ad for ad, slot in zip(unique, slots.tolist(), strict=True) if slot < 0 and fits(ad.encode())]

    async def admit(self, ads: Sequence[str]) -> None:
        """Puts ads in as the stores hold them, also those that are in already.

        Raises:
            StoreUnavailable: none came in.
        """
        if ads:
            self.table.put(ads, await read_ads(self.plan, self._tiers, ads))

    async def refresh(self, ads: Sequence[str]) -> None:
        """Reads the batch values of ads again that are in the table.

        Raises:
            StoreUnavailable: none was written.
        """
        if ads and DYNAMODB in self.table.parts:
            self.table.put(ads, await read_ads(self.plan, self._tiers, ads, only=DYNAMODB))

    async def apply(self, heard: Heard) -> None:
        """Writes rows, and after them the watermarks; may be done again after a failure.

        Raises:
            StoreUnavailable: an ad that is new could not be read.
        """
        new = self.lacking(ad for rows in heard.rows for ad in rows.ads)
        await self.admit(new[: self.table.room])
        for rows in heard.rows:
            self._write(rows)
        for name, ms in heard.watermarks.items():
            self._watermarks[name] = b"%d" % max(ms, int(self._watermarks.get(name, b"0")))
        self._watermarks |= {name: b"%d" % ways for name, ways in heard.ways.items()}
        self._mark()

    def _mark(self) -> None:
        part, marks = self.table.parts.get(REDIS), self.table.marks.get(REDIS)
        if part is None or marks is None:
            return
        for j, view in enumerate(part.layout.views):
            ms = view_watermark(self._watermarks, view)
            if ms is not None and view not in self._left:
                marks[j] = max(ms, int(marks[j]))

    def _write(self, rows: ViewRows) -> None:
        part = self.table.parts.get(REDIS)
        if part is None or rows.view.name not in part.layout.views:
            return
        j, block = part.layout.views.index(rows.view.name), self.plan.blocks[AD, REDIS]
        slots = self.table.find(rows.ads)
        times = rows.table["ms"]
        taken = np.flatnonzero((slots >= 0) & (part.times[slots, j] <= rows.limits))
        place = {slot.feature.name: (k, slot) for k, slot in enumerate(block.slots) if slot.view == j}
        cells = []
        for column, feature in rows.layout.stored(rows.view):
            if feature.name in place:
                k, slot = place[feature.name]
                if (feature.role, feature.dtype) != (slot.feature.role, slot.feature.dtype):
                    self._left.add(rows.view.name)
                    return
                cells.append((k, part.arrays[slot.feature.role], slot.offset, *_cells(feature, rows.table[column])))
        for start in range(0, len(taken), TOGETHER):
            some = taken[start : start + TOGETHER]
            at = slots[some]
            with Writing(self.table, at):
                for k, array, offset, values, present in cells:
                    array[at, offset] = values[some]
                    part.present[at, k] = present[some]
                part.times[at, j] = times[some]


def _cells(feature: Feature, column: NDArray[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """What a reader of Redis would make of a column's values once they are written there, and which are none."""
    if feature.role == "sparse":
        known = np.full(len(column), feature.dtype == "int64")
        return np.where(known, column, 0).astype(np.int64), known
    if feature.dtype == "int64":
        return column.astype(np.float64).astype(np.float32), np.ones(len(column), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        if feature.dtype == "float32":
            values = column.astype(np.float32)
            return values, np.isfinite(values)
        wide = column.astype(np.float64)
        return wide.astype(np.float32), np.abs(wide) <= FLOAT32_MAX
