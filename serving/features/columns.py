"""Feature rows as columns: decoding of both tiers, the maximum age of a view, and the contract's tensors.

A value is judged by itself: one that cannot be read is missing for its feature, and the others are served.

No Python object is made per row and feature beyond the stored bytes themselves and a memo lookup.
"""

from __future__ import annotations

import binascii
import logging
from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.event_rules import AHEAD_MS
from adfeast.contract.ids import MISSING_ID
from adfeast.contract.signature import AD, DTYPES, TENSORS, Role
from adfeast.contract.tensors import Columns, Status, Tensors
from serving.features.plan import Block, Plan
from serving.features.row_times import times_ms
from serving.features.values import ABSENT_ID, ValueDecoder

log = logging.getLogger(__name__)

Positions = Columns | list[int]
ROLES: tuple[Role, ...] = tuple(TENSORS)
_MISSING: dict[Role, float] = {"dense": np.nan, "sparse": MISSING_ID, "list": MISSING_ID, "embedding": 0.0}


class Rows:
    """n rows of one block.

    Attributes:
        arrays: for each role, [n, columns of the block], dtype as in the contract's tensor.
        absent: bool [n, features]: nothing is stored; the arrays hold anything there until `settle`.
        times: int64 [n, views], milliseconds since 1970 of the row of each view, 0 where there is none.
        unread: bool [n]: nobody knows what is stored; `absent` and `times` are as if it were nothing.
        frozen: bool [n, views]: the view is stale in what this row was read from; None where no view is in any row.
    """

    __slots__ = ("absent", "arrays", "frozen", "times", "unread")

    def __init__(self, block: Block, n: int) -> None:
        self.arrays: dict[Role, NDArray[Any]] = {r: np.empty((n, block.width(r)), DTYPES[r]) for r in ROLES}
        self.absent = np.ones((n, len(block.slots)), np.bool_)
        self.times = np.zeros((n, len(block.views)), np.int64)
        self.unread = np.zeros(n, np.bool_)
        self.frozen: NDArray[np.bool_] | None = None

    @classmethod
    def not_read(cls, block: Block, n: int) -> Rows:
        """n rows of which nobody knows what is stored."""
        rows = cls(block, n)
        rows.unread[:] = True
        return rows

    def copy_from(self, at: Positions, other: Rows, which: Positions) -> None:
        """Sets rows `at` to the rows `which` of another one of the same block."""
        for role, array in self.arrays.items():
            if array.shape[1]:
                array[at] = other.arrays[role][which]
        self.absent[at] = other.absent[which]
        self.times[at] = other.times[which]
        self.unread[at] = other.unread[which]


def decode_redis(block: Block, values: Sequence[bytes | None], n: int, decoder: ValueDecoder) -> Rows:
    """Rows from the concatenated HMGET answers of n entities."""
    rows, step = Rows(block, n), len(block.fields)
    for k, slot in enumerate(block.slots):
        column = values[k::step]
        array = rows.arrays[slot.feature.role]
        if slot.feature.role == "dense":
            array[:, slot.offset] = found = np.fromiter(map(decoder.number.__getitem__, column), np.float32, n)
            rows.absent[:, k] = np.isnan(found)
        elif slot.feature.role == "sparse":
            array[:, slot.offset] = found = np.fromiter(map(decoder.identity.__getitem__, column), np.int64, n)
            rows.absent[:, k] = found == ABSENT_ID
        else:
            for i, data in enumerate(column):
                rows.absent[i, k] = not _wide(slot, array[i], data, decoder)
    for j in range(len(block.views)):
        column = values[len(block.slots) + j :: step]
        rows.times[:, j] = times_ms(column, decoder.time_ms.__getitem__)
    return rows


def decode_dynamodb(
    block: Block, items: Mapping[str, Mapping[str, Any]], entity_ids: Sequence[str], decoder: ValueDecoder
) -> Rows:
    """Rows from DynamoDB items: table to entity id to item, as JSON."""
    rows = Rows(block, len(entity_ids))
    by_view = [[(k, s) for k, s in enumerate(block.slots) if s.view == j] for j in range(len(block.views))]
    for j, table in enumerate(block.tables):
        found = items.get(table, {})
        for i, entity_id in enumerate(entity_ids):
            item = found.get(entity_id)
            if item is None:
                continue
            try:
                rows.times[i, j] = decoder.iso_ms[item["event_ts"]["S"]]
                stored = item["values"]["M"]
                values = [
                    (k, s, b64decode(stored[s.feature.name]["B"])) for k, s in by_view[j] if s.feature.name in stored
                ]
            except (KeyError, TypeError, ValueError, binascii.Error) as error:
                rows.times[i, j] = 0
                decoder.complain(table, f"row {entity_id} is none of Feast's ({error!r}): its values are missing")
                continue
            for k, slot, data in values:
                rows.absent[i, k] = not _one(slot, rows.arrays[slot.feature.role][i], data, decoder)
    return rows


def _one(slot: Any, row: NDArray[Any], data: bytes, decoder: ValueDecoder) -> bool:
    if slot.feature.role == "dense":
        number = row[slot.offset] = decoder.number[data]
        return number == number  # NaN stands for none
    if slot.feature.role == "sparse":
        row[slot.offset] = decoder.identity[data]
        return decoder.identity[data] != ABSENT_ID
    return _wide(slot, row, data, decoder)


def _wide(slot: Any, row: NDArray[Any], data: bytes | None, decoder: ValueDecoder) -> bool:
    out = row[slot.offset : slot.offset + slot.feature.width]
    if slot.feature.role == "list":
        return decoder.ids(data, out, slot.feature.name)
    return decoder.embedding(data, out, slot.feature.name)


def settle(block: Block, rows: Rows, at_ms: int, clock_ms: int, stale: Collection[str] = ()) -> NDArray[np.uint8]:
    """Blanks, in place, what is absent, older than its view allows at `at_ms`, later than the clock, stale or unread.

    Args:
        stale: names of views of which nobody knows what the values are by now, nor whether there are any.

    Returns:
        uint8 [n, features], a `Status` each.
    """
    status = np.full(rows.absent.shape, Status.PRESENT, np.uint8)
    # A row later than the clock by more than an event may be is no news of the present, however fresh it looks.
    old = (at_ms - rows.times > block.max_age_ms) | (rows.times > clock_ms + AHEAD_MS)
    if old.any():
        status[old[:, block.view_of_feature]] = Status.OUTSIDE_MAX_AGE
    status[rows.absent] = Status.NOT_FOUND
    if stale and any(frozen := [view.name in stale for view in block.views]):
        status[:, np.array(frozen)[block.view_of_feature]] = Status.STALE
    if rows.frozen is not None:
        status[rows.frozen[:, block.view_of_feature]] = Status.STALE
    if rows.unread.any():
        status[rows.unread] = Status.UNREAD
    gone = status != Status.PRESENT
    if gone.any():
        for role, array in rows.arrays.items():
            if array.shape[1]:
                blank = np.array(_MISSING[role], array.dtype)
                np.copyto(array, blank, where=gone[:, block.feature_of_column[role]])
    return status


@dataclass(frozen=True)
class Features:
    """What is known of a request; B candidates. Shapes and orders as in `adfeast.contract.snapshots.Snapshot`.

    `stale_views` are those whose values are blank because their watermark is too old; `away` the tiers that did not
    answer in time.
    """

    tensors: Tensors
    shared_status: NDArray[np.uint8]
    ad_status: NDArray[np.uint8]
    shared_times: NDArray[np.int64]
    ad_times: NDArray[np.int64]
    stale_views: tuple[str, ...] = ()
    away: tuple[str, ...] = ()

    @property
    def unknown_user(self) -> bool:
        """No view holds a row of the user, as far as the views were read."""
        return not self.shared_times.any() and not (self.away and (self.shared_status == Status.UNREAD).any())

    @property
    def unknown_ads(self) -> list[int]:
        """Positions of the candidates of which no view holds a row; of those, all views were read."""
        unknown = ~self.ad_times.any(axis=1)
        if self.away:
            unknown &= ~(self.ad_status == Status.UNREAD).any(axis=1)
        return np.flatnonzero(unknown).tolist()


def assemble(
    plan: Plan,
    parts: Sequence[tuple[str, Block, Rows]],
    n: int,
    at_ms: int,
    clock_ms: int,
    stale: tuple[str, ...] = (),
    away: tuple[str, ...] = (),
) -> Features:
    """The contract's values from the rows of every block (1 row for user and request, n for ads); see `settle`."""
    tensors = {role: np.empty((n, plan.contract.width(role)), DTYPES[role]) for role in ROLES}
    status = np.empty((1, plan.shared_features), np.uint8), np.empty((n, plan.ad_features), np.uint8)
    times = np.zeros((1, plan.shared_views), np.int64), np.zeros((n, plan.ad_views), np.int64)
    for source, block, rows in parts:
        side = source == AD
        status[side][:, block.statuses] = settle(block, rows, at_ms, clock_ms, stale)
        if block.views:
            times[side][:, block.times] = rows.times
        for role, array in rows.arrays.items():
            if array.shape[1]:
                tensors[role][:, block.columns[role]] = array
    named = Tensors(**{TENSORS[role]: tensor for role, tensor in tensors.items()})
    return Features(named, status[0][0], status[1], times[0][0], times[1], stale, away)
