"""The feature snapshot of a request: what the model was given, bit for bit, in one compact Avro message.

User and request inputs are the same for all candidates and are kept once; ad inputs are kept by column. Blocks of
numbers are little-endian bytes in the column order of the signature named by `signature_hash`. Statuses are one byte an
input (and ad), in the terms of Feast's logging schema; times are milliseconds since 1970 of the row each view gave, 0
where there was none.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

import fastavro
import numpy as np
from numpy.typing import NDArray

from adfeast.contract.signature import DTYPES, TENSORS, Role, Signature
from adfeast.errors import InvalidEvent

TOPIC = "snapshots"
BLOCKS: tuple[Role, ...] = tuple(TENSORS)
_TEXT = ("request_id", "user_id", "model_version", "feature_service", "signature_hash")
_BYTES = (
    "scores",
    *(f"{side}_{TENSORS[role]}" for side in ("shared", "candidate") for role in BLOCKS),
    "shared_status",
    "ad_status",
    "shared_times",
    "ad_times",
)
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Snapshot",
    "namespace": "adfeast",
    "fields": [
        {"name": "request_id", "type": "string"},
        {"name": "event_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        *({"name": name, "type": "string"} for name in _TEXT[1:]),
        {"name": "ad_ids", "type": {"type": "array", "items": "string"}},
        *({"name": name, "type": "bytes"} for name in _BYTES),
    ],
}
# Milliseconds go in and out as plain integers: the codec sees the schema without logical types.
_WIRE = fastavro.parse_schema(
    json.loads(json.dumps(SCHEMA).replace('{"type": "long", "logicalType": "timestamp-millis"}', '"long"'))
)


class Status(IntEnum):
    """Where a served value came from; the numbers are Feast's FieldStatus."""

    PRESENT = 2
    NOT_FOUND = 4  # no row or a null: the default was served
    OUTSIDE_MAX_AGE = 5  # too old: the default was served


@dataclass(frozen=True)
class Tensors:
    """Input of B rows: dense float32 [B, D], ids int64 [B, S], lists int64 [B, L], embeddings float32 [B, E]."""

    dense: NDArray[np.float32]
    ids: NDArray[np.int64]
    lists: NDArray[np.int64]
    embeddings: NDArray[np.float32]

    def of(self, role: Role) -> NDArray[Any]:
        """The tensor of one role."""
        return getattr(self, TENSORS[role])  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Snapshot:
    """One request as it was served; B candidates.

    Attributes:
        event_timestamp: milliseconds since 1970, UTC, of the request.
        scores: float32 [B].
        tensors: what the model was given.
        shared_status, ad_status: uint8 [user and request inputs], [B, ad inputs], in signature order; see `Status`.
        shared_times, ad_times: int64 [user views], [B, ad views], in service order.
    """

    request_id: str
    event_timestamp: int
    user_id: str
    model_version: str
    feature_service: str
    signature_hash: str
    ad_ids: list[str]
    scores: NDArray[np.float32]
    tensors: Tensors
    shared_status: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    ad_status: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    shared_times: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ad_times: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))


class SnapshotCodec:
    """Encodes and decodes the snapshots of one signature; column positions are worked out once."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._columns = {
            (side, role): np.asarray(signature.columns(side == "shared", role), np.intp)
            for side in ("shared", "candidate")
            for role in BLOCKS
        }

    def encode(self, snapshot: Snapshot) -> bytes:
        """Avro bytes of a snapshot."""
        record: dict[str, Any] = {name: getattr(snapshot, name) for name in _TEXT}
        record |= {"event_timestamp": snapshot.event_timestamp, "ad_ids": snapshot.ad_ids}
        for role in BLOCKS:
            tensor = snapshot.tensors.of(role)
            record[f"shared_{TENSORS[role]}"] = tensor[0, self._columns["shared", role]].tobytes()
            record[f"candidate_{TENSORS[role]}"] = tensor[:, self._columns["candidate", role]].T.tobytes()
        for name in ("scores", "shared_status", "ad_status", "shared_times", "ad_times"):
            record[name] = getattr(snapshot, name).tobytes()
        out = io.BytesIO()
        fastavro.schemaless_writer(out, _WIRE, record)
        return out.getvalue()

    def decode(self, message: bytes) -> Snapshot:
        """The snapshot in a message.

        Raises:
            InvalidEvent: not a snapshot.
            SignatureMismatch: made for other inputs than this codec's.
        """
        try:
            record: Any = fastavro.schemaless_reader(io.BytesIO(message), _WIRE, None)
        except (EOFError, ValueError, IndexError, KeyError) as error:
            raise InvalidEvent(f"{len(message)} bytes on topic {TOPIC!r} are not a snapshot: {error}") from error
        return self.from_record(record)

    def from_record(self, record: dict[str, Any]) -> Snapshot:
        """The snapshot in an archived row; `event_timestamp` in milliseconds.

        Raises:
            SignatureMismatch: made for other inputs than this codec's.
        """
        self.signature.require(record["signature_hash"], f"the snapshot of request {record['request_id']!r}")
        n = len(record["ad_ids"])
        blocks = {TENSORS[role]: self._join(record, role, n) for role in BLOCKS}
        plain = {f.name: record[f.name] for f in fields(Snapshot) if f.name in (*_TEXT, "event_timestamp", "ad_ids")}
        return Snapshot(
            **plain,
            scores=np.frombuffer(record["scores"], np.float32),
            tensors=Tensors(**blocks),
            shared_status=np.frombuffer(record["shared_status"], np.uint8),
            ad_status=_by_row(record["ad_status"], np.uint8, n),
            shared_times=np.frombuffer(record["shared_times"], np.int64),
            ad_times=_by_row(record["ad_times"], np.int64, n),
        )

    def _join(self, record: dict[str, Any], role: Role, n: int) -> NDArray[Any]:
        tensor = np.empty((n, self.signature.width(role)), DTYPES[role])
        shared, own = self._columns["shared", role], self._columns["candidate", role]
        tensor[:, shared] = np.frombuffer(record[f"shared_{TENSORS[role]}"], DTYPES[role])
        tensor[:, own] = np.frombuffer(record[f"candidate_{TENSORS[role]}"], DTYPES[role]).reshape(len(own), n).T
        return tensor


def _by_row(block: bytes, dtype: type[np.generic], n: int) -> NDArray[Any]:
    flat = np.frombuffer(block, dtype)
    return flat.reshape(n, len(flat) // n if n else 0)
