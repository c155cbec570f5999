"""The columns of a training set, as its contract says.

The contract of a set is the union of those its snapshots were made under, the newest named first. A feature has one
column, of its own name, and `<name>__status` beside it. Of two features of one name (a window that was changed, say)
the newer has the name; the older is `<name>@<digest>`, the first 8 hex digits of the SHA-256 of its identity.

A value that is missing, too old, stale or unread is null (dense), -1 (ids, lists) or zeros (embeddings); its status
says why. `rung` says how the served score was made: only a `fresh` or `partial` one is the model's of these values.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from adfeast.contract.events import EVENT_TIME, IMPRESSION_ID, REQUEST_ID
from adfeast.contract.ids import MISSING_ID
from adfeast.contract.signature import DTYPES, Contract, Identity
from adfeast.contract.tensors import Status
from training.errors import UnusableContract

LABEL, WEIGHT, POSITION, SCORE = "label", "weight", "position", "score"
ATTEMPT_ID, MODEL, RUNG = "attempt_id", "model_version", "rung"
# A status beside those of adfeast.contract.tensors.Status: the snapshot's contract had no such feature.
NOT_LOGGED = 0
STATUS_TEXTS = {NOT_LOGGED: "not logged"} | {int(status): status.text for status in Status}
CONTRACT_KEY, INTERVAL_KEY, STATUSES_KEY = b"contract", b"interval", b"statuses"
TIME = pa.timestamp("us", tz="UTC")


def column_names(contract: Contract) -> dict[Identity, str]:
    """The column of every feature, in the order of the contract."""
    found: dict[Identity, str] = {}
    taken: set[str] = set()
    for i in contract.inputs:
        found[i] = f"{i.name}@{_digest(i)}" if i.name in taken else i.name
        taken.add(i.name)
    return found


def status_column(column: str) -> str:
    """Where the status of a feature's column stands."""
    return f"{column}__status"


def training_schema(contract: Contract, user_key: str, ad_key: str, interval: tuple[int, int]) -> pa.Schema:
    """Columns of a training set: label, weight, ids, time and what was answered, then the features and their statuses.

    dense float32, sparse int64, list fixed_size_list<int64>[max_len], embedding fixed_size_list<float32>[dim], status
    uint8. The metadata key `contract` holds the contract, `interval` the milliseconds of its first and last moment,
    `statuses` what each status means.

    Raises:
        UnusableContract: a feature has the name of another column.
    """
    columns = [
        (LABEL, pa.int8()),
        (WEIGHT, pa.float32()),
        (REQUEST_ID, pa.string()),
        (ATTEMPT_ID, pa.string()),
        (IMPRESSION_ID, pa.string()),
        (user_key, pa.string()),
        (ad_key, pa.string()),
        (EVENT_TIME, TIME),
        (SCORE, pa.float32()),
        (MODEL, pa.string()),
        (RUNG, pa.string()),  # see adfeast.contract.rungs
        (POSITION, pa.int32()),  # null where the impression does not say it
    ]
    for identity, name in column_names(contract).items():
        columns += [(name, _arrow(identity)), (status_column(name), pa.uint8())]
    names = [name for name, _ in columns]
    if repeated := sorted({n for n in names if names.count(n) > 1}):
        raise UnusableContract(
            f"a training set has a column {', '.join(map(repr, repeated))} of its own: rename the feature of that name"
        )
    metadata = {
        CONTRACT_KEY: contract.to_json(),
        INTERVAL_KEY: json.dumps(interval),
        STATUSES_KEY: json.dumps(STATUS_TEXTS),
    }
    return pa.schema(columns, metadata=metadata)


def contract_of(schema: pa.Schema) -> Contract:
    """The contract that a file of a training set carries.

    Raises:
        UnusableContract: it carries none.
    """
    stored = (schema.metadata or {}).get(CONTRACT_KEY)
    if stored is None:
        raise UnusableContract("the file has no metadata key 'contract': make the training set with the label join")
    return Contract.from_json(stored.decode())


def interval_of(schema: pa.Schema) -> tuple[int, int]:
    """First and last moment of the impressions that were asked for, in milliseconds since 1970."""
    start, end = json.loads((schema.metadata or {}).get(INTERVAL_KEY, b"[0, 0]"))
    return start, end


def missing_values(i: Identity, rows: int) -> np.ndarray[Any, Any]:
    """`rows` values of a feature, all of them missing; a missing dense number is NaN."""
    shape = (rows, i.width)
    if i.role in ("sparse", "list"):
        return np.full(shape, MISSING_ID, np.int64)
    return np.full(shape, np.nan if i.role == "dense" else 0.0, np.float32)


def _digest(i: Identity) -> str:
    return hashlib.sha256(json.dumps(asdict(i), sort_keys=True).encode()).hexdigest()[:8]


def _arrow(i: Identity) -> pa.DataType:
    item = pa.from_numpy_dtype(np.dtype(DTYPES[i.role]))
    return pa.list_(item, i.width) if i.role in ("list", "embedding") else item
