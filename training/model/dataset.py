"""A training set in Parquet as the tensors of a model's signature, in batches, split by time.

A training set holds what was logged; a signature takes any ordered subset of it. What an input lacks is filled by the
rule of the prediction server (adfeast.contract.tensors), so a row is trained on as it would be served. A row of which
an input was not read, because its store was away, is left out whatever is asked: its values are not missing, they are
not known, and a model that learnt from them would learn when stores are away.

The reader is a generator over row groups: groups come in a seeded order, a buffer of several is shuffled, and each
column is copied once into a preallocated tensor, which is an order of magnitude faster than a torch DataLoader.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adfeast.contract.events import EVENT_TIME, IMPRESSION_ID, REQUEST_ID
from adfeast.contract.signature import DTYPES, TENSORS, Contract, Role, Signature
from adfeast.contract.tensors import Selection, Status, Tensors
from training import sampling
from training.data.columns import LABEL, NOT_LOGGED, WEIGHT, missing_values, status_column
from training.model.errors import TrainingSetError
from training.model.parquet import column_values, input_columns, open_files

log = logging.getLogger(__name__)
NotLoggedRows = Literal["leave_out", "missing"]
_LEFT_OUT = 255  # instead of a part


class Part(IntEnum):
    """Parts of a training set in the order of their time."""

    TRAIN = 0
    STOPPING = 1
    CALIBRATION = 2
    HELD_OUT = 3


@dataclass(frozen=True)
class Batch:
    """B rows: a model's tensors, label float32 [B] of 0 and 1, weight float32 [B], and the request each row belongs to,
    int64 [B] (a number, unique in the training set)."""

    tensors: Tensors
    label: NDArray[np.float32]
    weight: NDArray[np.float32]
    request: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> Batch:
        """The rows of an index or a mask."""
        tensors = Tensors(**{name: getattr(self.tensors, name)[rows] for name in TENSORS.values()})
        return Batch(tensors, self.label[rows], self.weight[rows], self.request[rows])


class TrainingSet:
    """The finished files of one folder, as one model takes them.

    Args:
        path: a folder; files that start with `.` or `_` are not finished.
        signature: the model's inputs.
        fractions: of all rows, by time, for training, for stopping it and calibrating (a half each), and held-out; they
            sum to 1. A request stays whole.
        not_logged: what becomes of a row whose snapshot was made before an input was logged: left out, or the input
            counts as missing there.

    Attributes:
        not_logged: rows in which an input was not logged, by its name; inputs that always were are not named.
        unread: rows in which an input was not read, likewise.
        left_out: rows left out for either.
        boundaries: where each part but the first begins, in microseconds since 1970.

    Raises:
        TrainingSetError: no files or no rows, files of different contracts, or an input that the set does not hold.
    """

    def __init__(
        self,
        path: str | Path,
        signature: Signature,
        fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
        not_logged: NotLoggedRows = "leave_out",
    ) -> None:
        self.path, self.signature = Path(path), signature
        self._fill = _fill(signature)
        opened = open_files(self.path)
        self._columns = input_columns(self.path, opened, signature)
        if (never := [i.name for i in signature.inputs if i not in self._columns]) and not_logged == "leave_out":
            raise TrainingSetError(f"training set {path} was never logged with {', '.join(never)}: drop these inputs")
        files = [file for _, file in opened]
        self._groups = [
            (f, n) for f in files for n in range(f.metadata.num_row_groups) if f.metadata.row_group(n).num_rows
        ]
        self._starts = np.cumsum([0, *[f.metadata.row_group(n).num_rows for f, n in self._groups]])
        statuses = [status_column(c) for c in self._columns.values()]
        whole = pa.concat_tables([f.read([LABEL, WEIGHT, REQUEST_ID, EVENT_TIME, *statuses]) for f in files])
        self._request = _codes(whole[REQUEST_ID])
        self.label = whole[LABEL].to_numpy().astype(np.float32)
        self._weight = whole[WEIGHT].to_numpy().astype(np.float64)
        self.not_logged, lacking = self._count(whole, NOT_LOGGED)
        self.unread, unknown = self._count(whole, Status.UNREAD)
        kept = np.flatnonzero(~(lacking | unknown) if not_logged == "leave_out" else ~unknown)
        self.left_out = len(lacking) - len(kept)
        if self.not_logged or self.unread:
            what = f"not logged in rows: {self.not_logged}; not read in rows: {self.unread}"
            log.warning("training set %s: %s; %d rows left out", path, what, self.left_out)
        if not len(kept):
            raise TrainingSetError(
                f"training set {path} has no row in which all inputs were logged and read (not logged: "
                f"{self.not_logged}, not read: {self.unread}): drop these inputs, join labels over another time, or "
                "give those not logged as missing"
            )
        self.part = np.full(len(lacking), _LEFT_OUT, np.uint8)
        self._times: NDArray[np.int64] = _microseconds(whole[EVENT_TIME])
        self._begun = _begun(self._times[kept], self._request[kept])  # of the rows that are kept
        self._calibrating = fractions[1] / 2
        self.boundaries, self.part[kept] = _split(self._begun, fractions)

    def _count(self, whole: pa.Table, status: int) -> tuple[dict[str, int], NDArray[np.bool_]]:
        """Rows with this status by input, and which rows have one; an input that the set lacks was not logged."""
        counts: dict[str, int] = {}
        lacking = np.zeros(whole.num_rows, np.bool_)
        for i in self.signature.inputs:
            column = self._columns.get(i)
            if column is None:
                own = np.full_like(lacking, status == NOT_LOGGED)
            else:
                own = whole[status_column(column)].to_numpy() == status
            if own.any():
                counts[i.name] = int(own.sum())
                lacking |= own
        return counts, lacking

    def count(self, part: Part) -> tuple[int, int]:
        """Rows and clicks of a part."""
        chosen = self.part == part
        return int(chosen.sum()), int(self.label[chosen].sum())

    def rate(self, part: Part) -> float:
        """Click rate of a part, whose rows count as many as they stand for."""
        chosen = self.part == part
        return float(np.average(self.label[chosen].astype(np.float64), weights=self._weight[chosen]))

    def times(self, part: Part) -> NDArray[np.int64]:
        """Microseconds since 1970 of the rows of a part, as `read` orders them."""
        found: NDArray[np.int64] = self._times[self.part == part]
        return found

    @property
    def newest_us(self) -> int:
        """Microseconds since 1970 of the newest row of any part."""
        return int(self._times[self.part != _LEFT_OUT].max())

    def whole(self) -> TrainingSet:
        """The same rows, the newest (as many as calibrated before) for calibration and all others for training."""
        return self._refit(self.part != _LEFT_OUT)

    def before_held_out(self) -> TrainingSet:
        """What `whole` says, of the rows before those held out, which stay so."""
        return self._refit((self.part != _LEFT_OUT) & (self.part != Part.HELD_OUT))

    def _refit(self, taken: NDArray[np.bool_]) -> TrainingSet:
        other = copy.copy(self)
        begun = self._begun[taken[self.part != _LEFT_OUT]]
        ordered = np.sort(begun)
        count = round(len(self._begun) * self._calibrating)
        begin = int(ordered[-count]) if count else int(ordered[-1]) + 1
        other.part = self.part.copy()
        other.part[taken] = np.where(begun >= begin, Part.CALIBRATION, Part.TRAIN)
        end = int(ordered[-1]) + 1 if taken.sum() == len(self._begun) else self.boundaries[2]
        other.boundaries = (begin, begin, end)
        return other

    def taken_by(self, signature: Signature) -> TrainingSet:
        """The same rows in the same parts as another model takes them; what was not logged is missing to it."""
        other = TrainingSet(self.path, signature, not_logged="missing")
        other.boundaries, other.part = self.boundaries, self.part
        return other

    def read(self, part: Part) -> Batch:
        """A whole part in the order of the files."""
        return _concat([b.take(self.part[rows] == part) for b, rows in map(self._group, range(len(self._groups)))])

    def batches(
        self, part: Part, size: int, seed: int | None = None, *, buffer: int = 4, negative_rate: float = 1.0
    ) -> Iterator[Batch]:
        """Batches of at most `size` rows, each row once.

        Args:
            seed: shuffles groups and, in buffers of `buffer` groups, rows; None keeps the order.
            negative_rate: share of the rows without a click that is kept, by the impressions' ids and the seed.
        """
        random = np.random.default_rng(seed or 0)
        keep = self.label > 0
        keep |= negative_rate == 1 or sampling.chosen(self._ids, negative_rate, salt=seed or 0)
        order = np.arange(len(self._groups)) if seed is None else random.permutation(len(self._groups))
        for begin in range(0, len(order), buffer):
            read = [self._group(int(n)) for n in order[begin : begin + buffer]]
            rows = np.concatenate([positions for _, positions in read])
            chosen = np.flatnonzero((self.part[rows] == part) & keep[rows])
            if seed is not None:
                random.shuffle(chosen)
            whole = _concat([b for b, _ in read])
            for n in range(0, len(chosen), size):
                yield whole.take(chosen[n : n + size])

    @cached_property
    def _ids(self) -> list[str]:
        """Of the impressions of all rows."""
        columns = [file.read([IMPRESSION_ID])[IMPRESSION_ID] for _, file in open_files(self.path)]
        return [i for column in columns for i in column.to_pylist()]

    def _group(self, n: int) -> tuple[Batch, NDArray[np.int64]]:
        """A row group and the positions of its rows in the training set."""
        file, index = self._groups[n]
        table = file.read_row_group(index, columns=[LABEL, WEIGHT, *self._columns.values()])
        rows = np.arange(self._starts[n], self._starts[n + 1])
        tensors = self._fill.take(Tensors(**{TENSORS[role]: self._tensor(table, role) for role in TENSORS}))
        label, weight = (table[c].to_numpy().astype(np.float32) for c in (LABEL, WEIGHT))
        return Batch(tensors, label, weight, self._request[rows]), rows

    def _tensor(self, table: pa.Table, role: Role) -> NDArray[Any]:
        out = np.empty((table.num_rows, self.signature.width(role)), DTYPES[role])
        begin = 0
        for i in self.signature.role(role):
            column = self._columns.get(i)
            values = missing_values(i, table.num_rows) if column is None else column_values(table[column], i)
            out[:, begin : begin + i.width] = values.reshape(-1, i.width)
            begin += i.width
        return out


def _fill(signature: Signature) -> Selection:
    keys = [(i.view, i.name) for i in signature.inputs]
    if repeated := sorted({name for view, name in keys if keys.count((view, name)) > 1}):
        raise TrainingSetError(f"a model takes {', '.join(repeated)} twice, made in two ways: take one of them")
    return Selection(Contract.union(signature), signature)


def _concat(parts: list[Batch]) -> Batch:
    tensors = Tensors(**{n: np.concatenate([getattr(p.tensors, n) for p in parts]) for n in TENSORS.values()})
    return Batch(tensors, *(np.concatenate([getattr(p, n) for p in parts]) for n in ("label", "weight", "request")))


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return column.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def _microseconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    if pa.types.is_timestamp(column.type):
        return pc.cast(column, pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]
    raise TrainingSetError(f"column {EVENT_TIME!r} must be a timestamp, is {column.type}")


def _begun(times: NDArray[np.int64], request: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first time of each row's request."""
    first = np.full(request.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, request, times)
    return first[request]


def _split(
    begun: NDArray[np.int64], fractions: tuple[float, float, float]
) -> tuple[tuple[int, int, int], NDArray[np.uint8]]:
    """Boundaries in microseconds since 1970 and the part of each row, by the time its request began."""
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) < 0:
        raise TrainingSetError(f"fractions must be 3 shares that sum to 1, got {fractions}")
    ordered, half = np.sort(begun), fractions[1] / 2
    shares = np.cumsum([fractions[0], half, half])
    ends = [int(ordered[min(round(len(ordered) * share), len(ordered) - 1)]) for share in shares]
    return (ends[0], ends[1], ends[2]), np.searchsorted(np.asarray(ends), begun, side="right").astype(np.uint8)
