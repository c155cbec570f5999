"""Snapshots of several contracts become rows of one training set, bit for bit."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest

from adfeast.contract.events import EVENT_ID, EVENT_TIME, IMPRESSION_ID, unframe
from adfeast.contract.rungs import Rung
from adfeast.contract.signature import DTYPES, TENSORS, Contract, Identity
from adfeast.contract.snapshots import SCHEMA, Snapshot, SnapshotCodec
from adfeast.contract.tensors import Status, Tensors
from adfeast.errors import InvalidEvent
from training.data.columns import (
    NOT_LOGGED,
    column_names,
    contract_of,
    interval_of,
    status_column,
    training_schema,
)
from training.data.decode import Decoder
from training.errors import UnusableContract

SHARED = Identity("age", "users", "user", "dense", "float32")
OWN = Identity("price", "ads", "ad", "dense", "float32", made="5m")
WIDER = replace(OWN, made="10m")
IDS = Identity("campaign", "ads", "ad", "sparse", "string")
LIST = Identity("recent", "users", "user", "list", "int64_list", width=3)
VECTOR = Identity("content", "ads", "ad", "embedding", "float32_list", width=2)
OLD = Contract((SHARED, OWN, LIST))
NEW = Contract((IDS, WIDER, SHARED, VECTOR))
TIME = datetime(2019, 11, 28, tzinfo=UTC)


def snapshot(contract: Contract, request: str, attempt: str, seed: int) -> Snapshot:
    rng, n = np.random.default_rng(seed), 3
    tensors: dict[str, Any] = {}
    for role, name in TENSORS.items():
        block = rng.integers(0, 1 << 60, (n, contract.width(role))).astype(DTYPES[role])
        shared = contract.columns(True, role)
        block[:, shared] = block[0, shared]
        tensors[name] = block
    own = sum(i.source == "ad" for i in contract.inputs)
    return Snapshot(
        request_id=request,
        attempt_id=attempt,
        event_timestamp=1,
        user_id="u",
        model_version=f"model of {request}",
        feature_service="s",
        contract_hash=contract.hash,
        ad_ids=["a", "b", "c"],
        scores=rng.random(n, np.float32),
        tensors=Tensors(**tensors),
        shared_status=np.full(len(contract.inputs) - own, Status.PRESENT, np.uint8),
        ad_status=np.full((n, own), Status.PRESENT, np.uint8),
        ad_times=np.zeros((n, 0), np.int64),
    )


def archived(s: Snapshot, contract: Contract, shown: list[str], **change: Any) -> dict[str, Any]:
    """As the archive gives it: blocks of bytes."""
    _, body = unframe(SnapshotCodec(contract).encode(s))
    record: Any = fastavro.schemaless_reader(io.BytesIO(body), SCHEMA, None)
    impressions = [
        {EVENT_ID: f"i {s.request_id} {ad}", "ad_id": ad, EVENT_TIME: TIME, "label": int(ad == "b"), "position": None}
        | {"weight": 1.0 if ad == "b" else 10.0}
        for ad in shown
    ]
    return record | {"shown": impressions} | change


def decoder(*contracts: Contract) -> Decoder:
    union = Contract.union(*contracts)
    return Decoder({c.hash: c for c in contracts}, training_schema(union, "user_id", "ad_id", (1, 2)))


def test_each_row_holds_what_its_own_contract_logged_and_says_what_was_not() -> None:
    first, second = snapshot(OLD, "r1", "x", 1), snapshot(NEW, "r2", "y", 2)
    records = [archived(second, NEW, ["c"]), archived(first, OLD, ["a", "b"]), archived(second, NEW, ["a", "gone"])]
    table, missing = decoder(NEW, OLD).decode(records)
    assert missing == 1
    assert table["request_id"].to_pylist() == ["r2", "r1", "r1", "r2"]
    assert table[IMPRESSION_ID].to_pylist() == ["i r2 c", "i r1 a", "i r1 b", "i r2 a"]
    assert table["label"].to_pylist() == [0, 0, 1, 0]
    assert table["weight"].to_pylist() == [10, 10, 1, 10]
    assert table["attempt_id"].to_pylist() == ["y", "x", "x", "y"]
    assert table["model_version"].to_pylist()[:2] == ["model of r2", "model of r1"]
    scores = [second.scores[2], first.scores[0], first.scores[1], second.scores[0]]
    assert table["score"].to_numpy().tobytes() == np.array(scores, np.float32).tobytes()
    names = column_names(Contract.union(NEW, OLD))
    assert names[WIDER] == "price"
    assert names[OWN].startswith("price@")
    absent, present = NOT_LOGGED, Status.PRESENT
    for identity, statuses in {
        SHARED: [present] * 4,
        OWN: [absent, present, present, absent],
        WIDER: [present, absent, absent, present],
        LIST: [absent, present, present, absent],
        VECTOR: [present, absent, absent, present],
    }.items():
        assert table[status_column(names[identity])].to_pylist() == statuses
        assert table.schema.field(status_column(names[identity])).type == pa.uint8()
    old, new = first.tensors, second.tensors
    assert table[names[WIDER]].to_pylist() == [new.dense[2, 0], None, None, new.dense[0, 0]]
    assert table[names[SHARED]].to_pylist() == [new.dense[2, 1], old.dense[0, 0], old.dense[1, 0], new.dense[0, 1]]
    assert table[names[OWN]].to_pylist() == [None, old.dense[0, 1], old.dense[1, 1], None]
    assert table[names[IDS]].to_pylist() == [new.ids[2, 0], -1, -1, new.ids[0, 0]]
    assert table[names[LIST]].to_pylist() == [[-1] * 3, *old.lists[:2].tolist(), [-1] * 3]
    assert table[names[VECTOR]].to_pylist() == [new.embeddings[2].tolist(), [0, 0], [0, 0], new.embeddings[0].tolist()]


def test_a_missing_number_is_null_and_its_status_says_why() -> None:
    made = snapshot(OLD, "r1", "x", 1)
    made.tensors.dense[:, 0] = made.tensors.dense[1, 1] = np.nan
    statuses = {
        "shared_status": np.array([Status.OUTSIDE_MAX_AGE, Status.PRESENT], np.uint8),
        "ad_status": np.array([[Status.PRESENT], [Status.NOT_FOUND], [Status.PRESENT]], np.uint8),
    }
    table, _ = decoder(OLD).decode([archived(replace(made, **statuses), OLD, ["a", "b"])])
    assert table["age"].to_pylist() == [None, None]
    assert table["age__status"].to_pylist() == [Status.OUTSIDE_MAX_AGE] * 2
    assert table["price"].to_pylist() == [made.tensors.dense[0, 1], None]
    assert table["price__status"].to_pylist() == [Status.PRESENT, Status.NOT_FOUND]


def test_a_stale_value_is_null_and_called_stale() -> None:
    made = snapshot(OLD, "r1", "x", 1)
    made.tensors.dense[:, 0] = np.nan
    made = replace(made, shared_status=np.array([Status.STALE, Status.PRESENT], np.uint8))
    table, _ = decoder(OLD).decode([archived(made, OLD, ["a", "b"])])
    assert table["age"].to_pylist() == [None, None]
    names = json.loads(table.schema.metadata[b"statuses"])
    assert [names[str(status)] for status in table["age__status"].to_pylist()] == ["stale", "stale"]
    assert set(names.values()) == {"present", "missing", "too old", "stale", "unread", "not logged"}


def test_a_row_says_how_its_score_was_made_and_what_was_not_read() -> None:
    made = snapshot(OLD, "r1", "x", 1)
    made.tensors.dense[:, 0] = np.nan
    rungs = np.array([Rung.CACHED, Rung.PARTIAL, Rung.PRIOR], np.uint8)
    made = replace(made, shared_status=np.array([Status.UNREAD, Status.PRESENT], np.uint8), rungs=rungs)
    older = archived(snapshot(OLD, "r2", "y", 2), OLD, ["a"], rungs=None)  # from before there were rungs
    table, _ = decoder(OLD).decode([archived(made, OLD, ["a", "b", "c"]), older])
    assert table["rung"].to_pylist() == ["cached", "partial", "prior", "fresh"]
    assert table["age"].to_pylist()[:3] == [None] * 3
    names = json.loads(table.schema.metadata[b"statuses"])
    assert [names[str(status)] for status in table["age__status"].to_pylist()] == ["unread"] * 3 + ["present"]


def test_a_snapshot_that_does_not_fit_its_contract_is_named() -> None:
    whole = archived(snapshot(OLD, "r1", "x", 1), OLD, ["a"])
    for broken in ({"candidate_dense": b"1234"}, {"ad_status": b"12"}, {"shared_status": b""}):
        with pytest.raises(InvalidEvent, match=r"request 'r1', attempt 'x'"):
            decoder(OLD).decode([whole | broken])


def test_a_set_names_its_contract_and_interval() -> None:
    schema = training_schema(NEW, "user_id", "ad_id", (5, 9))
    assert contract_of(schema) == NEW
    assert interval_of(schema) == (5, 9)
    with pytest.raises(UnusableContract, match="label join"):
        contract_of(schema.remove_metadata())


def test_a_feature_cannot_have_the_name_of_another_column() -> None:
    for name in ("score", "age__status"):
        with pytest.raises(UnusableContract, match=f"'{name}'"):
            training_schema(Contract((SHARED, replace(SHARED, name=name))), "user_id", "ad_id", (0, 0))
