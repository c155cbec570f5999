"""The table of ads as a server reads it: which file is current, and how the blocks of a plan are taken out of it.

Whatever the table cannot vouch for is read from the stores: an ad that it lacks, a row that is being written, a block
with a feature that it does not hold yet, a tier of which it has not heard for too long.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.signature import AD, Role
from adfeast.contract.tensors import Columns, as_slice
from serving.ads.files import current_file, sign_of
from serving.ads.layout import Column
from serving.ads.table import Part, Table
from serving.errors import TableUnusable
from serving.features.columns import Rows
from serving.features.freshness import stale_views
from serving.features.plan import DYNAMODB, REDIS, Block, Plan

log = logging.getLogger(__name__)
POLL_S = 0.5
BATCH_WITHIN_MS = 600_000  # for so long batch values may not have been compared with what is published
ATTEMPTS = 4  # to copy a row that is being written; the last of them some tens of microseconds after the first


class CurrentTable:
    """Follows the link to the table that is current; whoever reads keeps a table that was while it is needed.

    Args:
        folder: where the tables are; None: there are none.
        replay_speed: see `adfeast.settings.Settings`.

    Attributes:
        table: None while there is none that can be used.
        problem: why ads are, or may soon be, read from the stores.
        followed: a keeper is alive, so the watermarks of the table say what its rows hold and will go on.
        waits: a keeper is at work that has not caught up: a server that starts waits for it.
    """

    def __init__(self, folder: Path | None, project: str, replay_speed: float = 1.0) -> None:
        self._link, self._project = current_file(folder, project) if folder else None, project
        self._target: Path | None = None
        self.speed = replay_speed
        self.table: Table | None = None
        self.problem, self.waits, self.followed = "", False, False

    async def look(self) -> str:
        """Maps the file that is current now, if it is another one; says what is wrong with it, or with its keeper."""
        if self._link is None:
            return ""
        wrong, sign = self._map(self._link), sign_of(self._link.parent, self._project)
        self.followed = sign is not None and sign.alive
        # A keeper that is dead is not waited for.
        self.waits = sign is not None and sign.alive and bool(sign.problem or self.table is None)
        if sign is not None:
            wrong = wrong or sign.text
        self.problem = f"table of ads: {wrong}" if wrong else ""
        return self.problem

    def _map(self, link: Path) -> str:
        if not link.is_symlink():
            self.table = self._target = None
            return ""
        target = link.resolve()
        if target != self._target:
            try:
                self.table = Table(target)
            except TableUnusable as error:
                return str(error)
            log.info("ads are read from %s", target.name)
            self._target = target
        return ""


Parts = list[tuple[str, Block, Rows]]


@dataclass(frozen=True)
class Taken:
    """Rows of n ads.

    Attributes:
        rows: of the tiers that the table vouches for, n rows each; those of `lacking` hold anything.
        lacking: positions of the ads that must be read from the stores.
    """

    rows: Mapping[str, Rows]
    lacking: list[int]

    def among(self, plan: Plan, read: Parts, stale: tuple[str, ...]) -> Parts:
        """What was read from the stores, with the rows of ads put among these.

        Args:
            stale: views that are so in the stores.
        """
        if not self.rows:
            return read
        stored = {block.views[0].tier: rows for source, block, rows in read if source == AD}
        parts = [part for part in read if part[0] != AD]
        for tier in (REDIS, DYNAMODB):
            block = plan.block(AD, tier)
            if block is None:
                continue
            rows = self.rows.get(tier)
            if rows is None:
                rows = stored[tier]
            elif self.lacking:
                rows.copy_from(self.lacking, stored[tier], slice(None))
                frozen = [view.name in stale for view in block.views]
                if any(frozen):
                    rows.frozen = np.zeros(rows.times.shape, np.bool_)
                    rows.frozen[self.lacking] = frozen
            parts.append((AD, block, rows))
        return parts

    def stale_everywhere(self, plan: Plan, stale: tuple[str, ...]) -> tuple[str, ...]:
        """The views of `stale` that are so for all ads: what the table vouches for is not."""
        block = plan.block(AD, REDIS)
        if not stale or block is None or REDIS not in self.rows:
            return stale
        fresh = {view.name for view in block.views}
        return tuple(view for view in stale if view not in fresh)


NOTHING = Taken({}, [])


class PlanTable:
    """How the ad blocks of one plan are taken out of one table."""

    def __init__(self, plan: Plan, table: Table, speed: float) -> None:
        self.table, self._speed = table, speed
        self._blocks: dict[str, _TableBlock] = {}
        for tier in (REDIS, DYNAMODB):
            block, part = plan.block(AD, tier), table.parts.get(tier)
            if block is not None and part is not None and (found := _TableBlock.of(block, part)) is not None:
                self._blocks[tier] = found
        self._stream_views = self._blocks[REDIS].block.views if REDIS in self._blocks else ()
        names = table.layout.parts[REDIS].views if self._stream_views else ()
        self._marks = table.marks.get(REDIS)
        self._mark_at = {name: i for i, name in enumerate(names)}

    def take(self, ad_ids: Sequence[str], at_ms: int, clock_ms: int, *, followed: bool = True) -> Taken:
        """The rows of ads as of a request's time; nothing where the table is behind.

        Args:
            followed: whether a keeper is alive: in a replay the time of requests may stand still, and no mark ages.
        """
        # Before the rows: these may be newer than the watermarks say, and never older.
        tiers = [t for t in self._blocks if (followed or t != REDIS) and self._vouches(t, at_ms, clock_ms)]
        if not tiers:
            return NOTHING
        slots = self.table.find(ad_ids)
        lacking = slots < 0
        at = np.maximum(slots, 0) if lacking.any() else slots
        rows = {tier: Rows(self._blocks[tier].block, len(at)) for tier in tiers}
        left = self._copy(rows, at, slice(None))
        for _ in range(ATTEMPTS - 1):
            if not left.any():
                break
            torn = np.flatnonzero(left)
            left[torn] = self._copy(rows, at[torn], torn)
        return Taken(rows, np.flatnonzero(lacking | left).tolist())

    def _vouches(self, tier: str, at_ms: int, clock_ms: int) -> bool:
        if tier == DYNAMODB:
            return clock_ms - self.table.batch_ms <= BATCH_WITHIN_MS
        return not stale_views(self._mark, self._stream_views, at_ms, clock_ms, self._speed)

    def _mark(self, view: str) -> int | None:
        assert self._marks is not None
        return int(self._marks[self._mark_at[view]]) or None

    def _copy(self, rows: Mapping[str, Rows], slots: NDArray[np.intp], at: Columns) -> NDArray[np.bool_]:
        """Copies rows, and says which are torn."""
        before = self.table.sequence(slots)
        for tier, into in rows.items():
            self._blocks[tier].copy(into, at, slots)
        torn: NDArray[np.bool_] = (self.table.sequence(slots) != before) | (before & 1).astype(np.bool_)
        return torn


@dataclass(frozen=True)
class _TableBlock:
    """Where the columns, features and views of a block stand in the arrays of a table's part."""

    block: Block
    part: Part
    columns: dict[Role, Columns]
    features: Columns
    views: Columns

    @classmethod
    def of(cls, block: Block, part: Part) -> _TableBlock | None:
        """None where the part does not hold all that the block reads."""
        known = {(c.view, c.name, c.role, c.dtype, c.width): i for i, c in enumerate(part.layout.columns)}
        features = []
        for slot in block.slots:
            f = slot.feature
            features.append(known.get((f.view, f.name, f.role, f.dtype, f.width), -1))
        if -1 in features:
            return None
        taken: list[Column] = [part.layout.columns[i] for i in features]
        columns = {
            role: as_slice([n for c in taken if c.role == role for n in range(c.offset, c.offset + c.width)])
            for role in part.arrays
        }
        views = as_slice([part.layout.views.index(v.name) for v in block.views])
        return cls(block, part, columns, as_slice(features), views)

    def copy(self, rows: Rows, at: Columns, slots: NDArray[np.intp]) -> None:
        """Sets the rows `at` (a slice: all) to those of the slots."""
        whole = isinstance(at, slice)
        for role, columns in self.columns.items():
            if not rows.arrays[role].shape[1]:
                continue
            found = self.part.arrays[role].take(slots, axis=0)[:, columns]
            if whole:
                rows.arrays[role] = found  # a vector of each ad is not copied twice
            else:
                rows.arrays[role][at] = found
        rows.absent[at] = ~self.part.present.take(slots, axis=0)[:, self.features]
        rows.times[at] = self.part.times.take(slots, axis=0)[:, self.views]
