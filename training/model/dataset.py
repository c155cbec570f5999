"""A training set in Parquet as the tensors of its signature, in batches, split by time.

The reader is a generator over row groups: groups come in a seeded order, a buffer of several is shuffled, and each
column is copied once into a preallocated tensor, which is an order of magnitude faster than a torch DataLoader.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adfeast.contract.ids import MISSING_ID
from adfeast.contract.signature import DTYPES, TENSORS, Input, Signature
from adfeast.contract.tensors import Tensors
from training.model.errors import TrainingSetError

LABEL, WEIGHT, REQUEST, TIME = "label", "weight", "request_id", "event_timestamp"


class Part(IntEnum):
    """Parts of a training set in the order of their time."""

    TRAIN = 0
    CALIBRATION = 1
    HELD_OUT = 2


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
    """The finished files of one folder.

    Args:
        path: a folder; files that start with `.` or `_` are not finished.
        fractions: of all rows, by time, for training, calibration and held-out; they sum to 1. A request stays whole.

    Raises:
        TrainingSetError: no files or no rows, files of different signatures, or a column that is missing.
    """

    def __init__(self, path: str | Path, fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)) -> None:
        self.path = Path(path)
        names = sorted(p for p in self.path.glob("**/*.parquet") if p.name[0] not in "._")
        opened = [(name, pq.ParquetFile(name)) for name in names]
        filled = [(name, file) for name, file in opened if file.metadata.num_rows]
        files = [file for _, file in filled]
        if not files:
            raise TrainingSetError(f"training set {path} has no rows: run the label join for a longer time")
        found = {(f.schema_arrow.metadata or {}).get(b"signature", b"").decode() for f in files}
        if len(found) != 1 or "" in found:
            raise TrainingSetError(
                f"training set {path} needs one signature in the metadata of all files, has {len(found)}"
            )
        self.signature = Signature.from_json(found.pop())
        needed = {LABEL, WEIGHT, REQUEST, TIME, *(i.name for i in self.signature.inputs)}
        for name, file in filled:
            if missing := needed - set(file.schema_arrow.names):
                raise TrainingSetError(f"{name} lacks the columns {', '.join(sorted(missing))}")
        self._groups = [
            (f, n) for f in files for n in range(f.metadata.num_row_groups) if f.metadata.row_group(n).num_rows
        ]
        self._starts = np.cumsum([0, *[f.metadata.row_group(n).num_rows for f, n in self._groups]])
        whole = pa.concat_tables([f.read([LABEL, REQUEST, TIME]) for f in files])
        self._request = _codes(whole[REQUEST])
        self.label = whole[LABEL].to_numpy().astype(np.float32)
        self.boundaries, self.part = _split(_microseconds(whole[TIME]), self._request, fractions)

    def count(self, part: Part) -> tuple[int, int]:
        """Rows and clicks of a part."""
        chosen = self.part == part
        return int(chosen.sum()), int(self.label[chosen].sum())

    def read(self, part: Part) -> Batch:
        """A whole part in the order of the files."""
        return _concat([b.take(self.part[rows] == part) for b, rows in map(self._group, range(len(self._groups)))])

    def batches(
        self, part: Part, size: int, seed: int | None = None, *, buffer: int = 4, negative_rate: float = 1.0
    ) -> Iterator[Batch]:
        """Batches of at most `size` rows, each row once.

        Args:
            seed: shuffles groups and, in buffers of `buffer` groups, rows; None keeps the order.
            negative_rate: share of the rows without a click that is kept, drawn once from the seed.
        """
        random = np.random.default_rng(seed or 0)
        keep = (self.label > 0) | (random.random(len(self.label)) < negative_rate)
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

    def _group(self, n: int) -> tuple[Batch, NDArray[np.int64]]:
        """A row group and the positions of its rows in the training set."""
        file, index = self._groups[n]
        columns = [LABEL, WEIGHT, *(i.name for i in self.signature.inputs)]
        table = file.read_row_group(index, columns=columns)
        rows = np.arange(self._starts[n], self._starts[n + 1])
        tensors = Tensors(**{TENSORS[role]: self._tensor(table, self.signature.role(role), role) for role in TENSORS})
        label, weight = (table[c].to_numpy().astype(np.float32) for c in (LABEL, WEIGHT))
        return Batch(tensors, label, weight, self._request[rows]), rows

    def _tensor(self, table: pa.Table, inputs: tuple[Input, ...], role: Any) -> NDArray[Any]:
        out = np.empty((table.num_rows, self.signature.width(role)), DTYPES[role])
        begin = 0
        for i in inputs:
            out[:, begin : begin + i.width] = _values(table[i.name], i).reshape(-1, i.width)
            begin += i.width
        return out


def _values(column: pa.ChunkedArray, i: Input) -> NDArray[Any]:
    array = column.combine_chunks()
    if i.role in ("dense", "sparse"):
        return array.fill_null(i.default if i.role == "dense" else MISSING_ID).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    missing = MISSING_ID if i.role == "list" else 0.0
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    flat = (
        array.drop_null().flatten().fill_null(missing)
    )  # a null row has no values: flattening it would shift the others
    if len(flat) != valid.sum() * i.width:
        raise TrainingSetError(f"column {i.name!r} must hold {i.width} values in every row, as its signature says")
    if valid.all():
        return flat.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    out = np.full((len(array), i.width), missing, DTYPES[i.role])
    out[valid] = flat.to_numpy(zero_copy_only=False).reshape(-1, i.width)
    return out


def _concat(parts: list[Batch]) -> Batch:
    tensors = Tensors(**{n: np.concatenate([getattr(p.tensors, n) for p in parts]) for n in TENSORS.values()})
    return Batch(tensors, *(np.concatenate([getattr(p, n) for p in parts]) for n in ("label", "weight", "request")))


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return column.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def _microseconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    if pa.types.is_timestamp(column.type):
        return pc.cast(column, pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]
    raise TrainingSetError(f"column {TIME!r} must be a timestamp, is {column.type}")


def _split(
    times: NDArray[np.int64], request: NDArray[np.int64], fractions: tuple[float, float, float]
) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """Boundaries in microseconds since 1970 and the part of each row, by the first time of its request."""
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) < 0:
        raise TrainingSetError(f"fractions must be 3 shares that sum to 1, got {fractions}")
    first = np.full(request.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, request, times)
    start = first[request]
    ordered = np.sort(start)
    ends = [ordered[min(round(len(ordered) * share), len(ordered) - 1)] for share in np.cumsum(fractions)[:2]]
    return (int(ends[0]), int(ends[1])), np.searchsorted(np.asarray(ends), start, side="right").astype(np.uint8)
