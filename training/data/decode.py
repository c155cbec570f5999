"""Turns the snapshots of shown impressions into training rows, inside Spark's Python workers.

A worker writes its rows with Arrow itself, because Spark's own Parquet writer forgets fixed-size lists and metadata.
Only the rows that were shown leave a snapshot of hundreds of candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext

from adfeast.contract.events import EVENT_ID, EVENT_TIME, IMPRESSION_ID, REQUEST_ID
from adfeast.contract.signature import DTYPES, TENSORS, Input, Role, Signature
from adfeast.contract.snapshots import SnapshotCodec
from adfeast.lake import filesystem
from adfeast.settings import Settings

AD, LABEL = "ad_id", "label"
SHOWN = (EVENT_ID, AD, EVENT_TIME, LABEL)
TIME = pa.timestamp("us", tz="UTC")
Batches = Iterator[pa.RecordBatch]


def training_schema(signature: Signature, user_key: str, ad_key: str) -> pa.Schema:
    """Columns of a training set: label, weight, ids and time, then one column an input, by its name.

    dense float32, sparse int64, list fixed_size_list<int64>[max_len] padded with -1, embedding
    fixed_size_list<float32>[dim]. The metadata key `signature` holds the signature.
    """
    columns = [
        (LABEL, pa.int8()),
        ("weight", pa.float32()),
        (REQUEST_ID, pa.string()),
        (IMPRESSION_ID, pa.string()),
        (user_key, pa.string()),
        (ad_key, pa.string()),
        (EVENT_TIME, TIME),
        *((i.name, _arrow(i)) for i in signature.inputs),
    ]
    return pa.schema(columns, metadata={"signature": signature.to_json()})


def writer(
    settings: Settings, url: str, signature: Signature, user_key: str, ad_key: str
) -> Callable[[Batches], Batches]:
    """A function for `mapInArrow` that writes one Parquet file a partition below `url` and gives its counts.

    A repeated task writes the same file again.
    """
    schema = training_schema(signature, user_key, ad_key)

    def write(batches: Batches) -> Batches:
        codec = SnapshotCodec(signature)
        part = TaskContext.get().partitionId()
        fs, path = filesystem(settings, url)
        rows = positives = missing = 0
        file: Any = None
        for batch in batches:
            table, absent = decode(codec, batch, schema)
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


def decode(codec: SnapshotCodec, batch: pa.RecordBatch, schema: pa.Schema) -> tuple[pa.Table, int]:
    """The shown rows of a batch of requests, in the columns of `schema`, and how many shown ads no snapshot had."""
    ids: list[tuple[Any, ...]] = []
    tensors: dict[Role, list[np.ndarray[Any, Any]]] = {role: [] for role in TENSORS}
    missing = 0
    for record in batch.to_pylist():
        snapshot = codec.from_record({**record, EVENT_TIME: 0})
        position = {ad: i for i, ad in reversed(list(enumerate(snapshot.ad_ids)))}
        found = [(s, position[s[AD]]) for s in record["shown"] if s[AD] in position]
        missing += len(record["shown"]) - len(found)
        taken = [i for _, i in found]
        for role in TENSORS:
            tensors[role].append(snapshot.tensors.of(role)[taken])
        ids += [
            (s[LABEL], 1.0, snapshot.request_id, s[EVENT_ID], snapshot.user_id, s[AD], s[EVENT_TIME]) for s, _ in found
        ]
    if not ids:
        return schema.empty_table(), missing
    columns = [pa.array(c, f.type) for c, f in zip(zip(*ids, strict=True), schema, strict=False)]
    blocks = {role: np.concatenate(tensors[role]) for role in TENSORS}
    offset: dict[Role, int] = dict.fromkeys(TENSORS, 0)
    for i in codec.signature.inputs:
        block = np.ascontiguousarray(blocks[i.role][:, offset[i.role] : offset[i.role] + i.width])
        offset[i.role] += i.width
        flat = pa.array(block.reshape(-1))
        columns.append(pa.FixedSizeListArray.from_arrays(flat, i.width) if i.role in ("list", "embedding") else flat)
    return pa.Table.from_arrays(columns, schema=schema), missing


def _arrow(i: Input) -> pa.DataType:
    item = pa.from_numpy_dtype(np.dtype(DTYPES[i.role]))
    return pa.list_(item, i.width) if i.role in ("list", "embedding") else item
