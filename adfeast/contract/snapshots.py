"""The feature snapshot of a request: the values that were served, bit for bit, in one compact Avro message.

User and request features are the same for all candidates and are kept once; ad features are kept by column. Blocks of
numbers are little-endian bytes in the column order of the contract named by `contract_hash`, in the form that
adfeast.contract.tensors describes. Statuses are one byte a feature (and ad), in the terms of Feast's logging schema;
times are milliseconds since 1970 of the row each view gave, 0 where there was none. `rungs` says how each score was
made (adfeast.contract.rungs); messages from before there were rungs are read as well.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, fields
from typing import Any

import fastavro
import numpy as np
from numpy.typing import NDArray

from adfeast.contract import rungs
from adfeast.contract.events import fingerprint, frame, unframe
from adfeast.contract.signature import DTYPES, TENSORS, Contract, Role
from adfeast.contract.tensors import Tensors
from adfeast.errors import InvalidEvent, SignatureMismatch

TOPIC = "snapshots"
BLOCKS: tuple[Role, ...] = tuple(TENSORS)
USER_ID = "user_id"  # who was served
_TEXT = ("request_id", "attempt_id", USER_ID, "model_version", "feature_service", "contract_hash")
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
        {"name": "rungs", "type": "string", "default": ""},
    ],
}


def _wire(schema: dict[str, Any]) -> Any:
    """Milliseconds go in and out as plain integers: the codec sees the schema without logical types."""
    text = json.dumps(schema).replace('{"type": "long", "logicalType": "timestamp-millis"}', '"long"')
    return fastavro.parse_schema(json.loads(text))


_FINGERPRINT = fingerprint(SCHEMA)
_WIRE = _wire(SCHEMA)
_WITHOUT_RUNGS = SCHEMA | {"fields": SCHEMA["fields"][:-1]}
_READABLE = {_FINGERPRINT: _WIRE, fingerprint(_WITHOUT_RUNGS): _wire(_WITHOUT_RUNGS)}


@dataclass(frozen=True, eq=False)  # arrays have no truth of their own: a snapshot equals itself
class Snapshot:
    """One request as it was served; B candidates.

    Attributes:
        event_timestamp: milliseconds since 1970, UTC, of the request.
        scores: float32 [B].
        attempt_id: unique among all Predicts ever answered, also among repetitions of one request.
        tensors: the values of the contract's features.
        shared_status, ad_status: uint8 [user and request features], [B, ad features], in contract order; see
            `adfeast.contract.tensors.Status`.
        shared_times, ad_times: int64 [user views], [B, ad views], in the order in which the contract first names them.
        rungs: uint8 [B], an `adfeast.contract.rungs.Rung` each; empty for all `FRESH`.
    """

    request_id: str
    attempt_id: str
    event_timestamp: int
    user_id: str
    model_version: str
    feature_service: str
    contract_hash: str
    ad_ids: list[str]
    scores: NDArray[np.float32]
    tensors: Tensors
    shared_status: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    ad_status: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    shared_times: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ad_times: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    rungs: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))


class SnapshotCodec:
    """Encodes and decodes the snapshots of one contract; column positions are worked out once."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._columns = {
            (side, role): np.asarray(contract.columns(side == "shared", role), np.intp)
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
        record["rungs"] = rungs.to_text(snapshot.rungs)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, _WIRE, record)
        return frame(_FINGERPRINT, out.getvalue())

    def decode(self, message: bytes) -> Snapshot:
        """The snapshot in a message.

        Raises:
            InvalidEvent: not a snapshot.
            SignatureMismatch: made under another contract than this codec's.
        """
        return self.from_record(read_record(message))

    def from_record(self, record: dict[str, Any]) -> Snapshot:
        """The snapshot in an archived row; `event_timestamp` in milliseconds.

        Raises:
            SignatureMismatch: made under another contract than this codec's.
            ValueError: a block has not the length that the contract says.
        """
        if record["contract_hash"] != self.contract.hash:
            what = f"the snapshot of request {record['request_id']!r}"
            raise SignatureMismatch(what, self.contract.hash, record["contract_hash"])
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
            rungs=rungs.from_text(record["rungs"] or "", n),
        )

    def _join(self, record: dict[str, Any], role: Role, n: int) -> NDArray[Any]:
        tensor = np.empty((n, self.contract.width(role)), DTYPES[role])
        shared, own = self._columns["shared", role], self._columns["candidate", role]
        tensor[:, shared] = np.frombuffer(record[f"shared_{TENSORS[role]}"], DTYPES[role])
        tensor[:, own] = np.frombuffer(record[f"candidate_{TENSORS[role]}"], DTYPES[role]).reshape(len(own), n).T
        return tensor


def read_record(message: bytes) -> dict[str, Any]:
    """The fields of a message; its `contract_hash` says by which contract its blocks are read.

    Raises:
        InvalidEvent: not a snapshot.
    """
    found, body = unframe(message)
    if found not in _READABLE:
        raise InvalidEvent(f"a message on topic {TOPIC!r} has schema {found.hex()}, not {_FINGERPRINT.hex()}")
    try:
        record: Any = fastavro.schemaless_reader(io.BytesIO(body), _READABLE[found], None)
    except (EOFError, ValueError, IndexError, KeyError) as error:
        raise InvalidEvent(f"{len(message)} bytes on topic {TOPIC!r} are not a snapshot: {error}") from error
    return {"rungs": "", **record}


def _by_row(block: bytes, dtype: type[np.generic], n: int) -> NDArray[Any]:
    flat = np.frombuffer(block, dtype)
    return flat.reshape(n, len(flat) // n if n else 0)
