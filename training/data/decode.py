"""Turns the snapshots of shown impressions into training rows, inside Spark's Python workers.

A worker writes its rows with Arrow itself, because Spark's own Parquet writer forgets fixed-size lists and metadata.
Only the rows that were shown leave a snapshot of hundreds of candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark import TaskContext

from adfeast.contract.events import EVENT_ID, EVENT_TIME
from adfeast.contract.rungs import Rung
from adfeast.contract.signature import AD, TENSORS, Contract, Identity
from adfeast.contract.snapshots import Snapshot, SnapshotCodec
from adfeast.errors import InvalidEvent
from adfeast.lake import filesystem
from adfeast.settings import Settings
from training.data.columns import LABEL, NOT_LOGGED, POSITION, WEIGHT, contract_of, missing_values

AD_KEY = "ad_id"
SHOWN = (EVENT_ID, AD_KEY, EVENT_TIME, LABEL, WEIGHT, POSITION)  # of an impression
Batches = Iterator[pa.RecordBatch]


def writer(
    settings: Settings, url: str, contracts: Mapping[str, Contract], schema: pa.Schema
) -> Callable[[Batches], Batches]:
    """A function for `mapInArrow` that writes one Parquet file a partition below `url` and gives its counts.

    A repeated task writes the same file again.

    Args:
        contracts: by hash, of every snapshot that comes.
        schema: of the training set, see `training.data.columns`.
    """

    def write(batches: Batches) -> Batches:
        decoder = Decoder(contracts, schema)
        part = TaskContext.get().partitionId()
        fs, path = filesystem(settings, url)
        rows = positives = missing = 0
        file: Any = None
        for batch in batches:
            table, absent = decoder.decode(batch.to_pylist())
            missing += absent
            if not table.num_rows:
                continue
            file = file or pq.ParquetWriter(
                f"{path}/part-{part:05d}.parquet", schema, filesystem=fs, compression="zstd"
            )
            file.write_table(table)
            rows += table.num_rows
            positives += int(np.count_nonzero(table[LABEL].to_numpy()))
        if file is not None:
            file.close()
        yield pa.RecordBatch.from_pydict({"rows": [rows], "positives": [positives], "not_candidates": [missing]})

    return write


@dataclass
class _Rows:
    """What was found of the snapshots of one contract: where each row goes, and its values and statuses."""

    at: list[int] = field(default_factory=list)
    snapshots: list[tuple[Snapshot, list[int]]] = field(default_factory=list)


class Decoder:
    """Snapshots of several contracts as rows of one training set."""

    def __init__(self, contracts: Mapping[str, Contract], schema: pa.Schema) -> None:
        self._codecs = {name: SnapshotCodec(contract) for name, contract in contracts.items()}
        self._schema = schema
        self._features = contract_of(schema).inputs

    def decode(self, records: list[dict[str, Any]]) -> tuple[pa.Table, int]:
        """The shown rows of the snapshots, and how many shown ads were no candidate of theirs.

        Args:
            records: archived snapshots, each with `shown`: its impressions, as `SHOWN` says.

        Raises:
            InvalidEvent: a snapshot does not fit the contract it names.
        """
        plain: list[tuple[Any, ...]] = []
        found: dict[str, _Rows] = {}
        missing = 0
        for record in records:
            snapshot = self._snapshot(record)
            position = {ad: i for i, ad in reversed(list(enumerate(snapshot.ad_ids)))}
            shown = [(s, position[s[AD_KEY]]) for s in record["shown"] if s[AD_KEY] in position]
            missing += len(record["shown"]) - len(shown)
            rows = found.setdefault(snapshot.contract_hash, _Rows())
            rows.at += range(len(plain), len(plain) + len(shown))
            rows.snapshots.append((snapshot, [i for _, i in shown]))
            plain += [self._plain(snapshot, s, i) for s, i in shown]
        if not plain:
            return self._schema.empty_table(), missing
        columns = [pa.array(c, f.type) for c, f in zip(zip(*plain, strict=True), self._schema, strict=False)]
        values = {i: missing_values(i, len(plain)) for i in self._features}
        status = {i: np.full(len(plain), NOT_LOGGED, np.uint8) for i in self._features}
        for name, rows in found.items():
            _fill(self._codecs[name].contract, rows, values, status)
        for i in self._features:
            columns += [_arrow(i, values[i]), pa.array(status[i])]
        return pa.Table.from_arrays(columns, schema=self._schema), missing

    def _snapshot(self, record: dict[str, Any]) -> Snapshot:
        codec = self._codecs[record["contract_hash"]]
        try:
            snapshot = codec.from_record({**record, EVENT_TIME: 0})
        except ValueError as error:
            raise InvalidEvent(f"{_what(record)} has blocks of another length: {error}", "tensors") from error
        own = sum(i.source == AD for i in codec.contract.inputs)
        wanted = (len(codec.contract.inputs) - own, (len(snapshot.ad_ids), own))
        if (len(snapshot.shared_status), snapshot.ad_status.shape) != wanted:
            raise InvalidEvent(f"{_what(record)} has not one status a feature (and ad)", "ad_status")
        return snapshot

    @staticmethod
    def _plain(snapshot: Snapshot, shown: dict[str, Any], at: int) -> tuple[Any, ...]:
        # In the order of the schema, up to the first feature.
        ids = (snapshot.request_id, snapshot.attempt_id, shown[EVENT_ID], snapshot.user_id, shown[AD_KEY])
        answered = (float(snapshot.scores[at]), snapshot.model_version, Rung(snapshot.rungs[at]).text)
        return (shown[LABEL], shown[WEIGHT], *ids, shown[EVENT_TIME], *answered, shown[POSITION])


def _fill(
    contract: Contract,
    rows: _Rows,
    values: dict[Identity, NDArray[Any]],
    status: dict[Identity, NDArray[np.uint8]],
) -> None:
    """Puts what the snapshots of one contract hold into the columns."""
    blocks = {role: np.concatenate([s.tensors.of(role)[taken] for s, taken in rows.snapshots]) for role in TENSORS}
    own = np.concatenate([s.ad_status[taken] for s, taken in rows.snapshots])
    shared = np.concatenate([np.tile(s.shared_status, (len(taken), 1)) for s, taken in rows.snapshots])
    offset = dict.fromkeys(TENSORS, 0)
    seen = {True: 0, False: 0}
    for i in contract.inputs:
        start, is_ad = offset[i.role], i.source == AD
        values[i][rows.at] = blocks[i.role][:, start : start + i.width]
        status[i][rows.at] = (own if is_ad else shared)[:, seen[is_ad]]
        offset[i.role] += i.width
        seen[is_ad] += 1


def _arrow(i: Identity, block: NDArray[Any]) -> pa.Array:
    flat = np.ascontiguousarray(block).reshape(-1)
    if i.role in ("list", "embedding"):
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), i.width)
    return pa.array(flat, mask=np.isnan(flat)) if i.role == "dense" else pa.array(flat)


def _what(record: dict[str, Any]) -> str:
    return f"the snapshot of request {record['request_id']!r}, attempt {record['attempt_id']!r},"
