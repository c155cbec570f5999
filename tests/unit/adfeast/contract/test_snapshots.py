"""A snapshot brings back what was served, bit for bit, whatever the features are."""

import io
from dataclasses import replace

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adfeast.contract.events import fingerprint, frame
from adfeast.contract.rungs import Rung
from adfeast.contract.signature import DTYPES, TENSORS, Contract, Identity
from adfeast.contract.snapshots import SCHEMA, Snapshot, SnapshotCodec, read_record
from adfeast.contract.tensors import Tensors
from adfeast.errors import InvalidEvent, SignatureMismatch

WIDE = ("list", "embedding")


@st.composite
def contracts(draw) -> Contract:
    drawn = draw(
        st.lists(st.tuples(st.sampled_from(list(TENSORS)), st.sampled_from(["user", "ad", "request"])), max_size=12)
    )
    return Contract(
        tuple(
            Identity(f"f{i}", f"view_of_{source}", source, role, "any", width=1 + i % 4 if role in WIDE else 1)
            for i, (role, source) in enumerate(drawn)
        ),
    )


def snapshot(contract: Contract, n: int, seed: int) -> Snapshot:
    """A snapshot of n candidates with arbitrary bits, NaNs included."""
    random = np.random.default_rng(seed)
    tensors = {}
    for role, name in TENSORS.items():
        tensor = random.integers(0, 256, (n, contract.width(role) * np.dtype(DTYPES[role]).itemsize), np.uint8).view(
            DTYPES[role]
        )
        shared = contract.columns(shared=True, role=role)
        tensor[:, shared] = tensor[0, shared]
        tensors[name] = tensor
    return Snapshot(
        "r1", "attempt", 1_574_553_600_123, "u1", "ctr-000001-onnx", "s", contract.hash,
        [f"ad{i}" for i in range(n)], random.random(n, np.float32), Tensors(**tensors),
        np.full(3, 2, np.uint8), np.full((n, 2), 4, np.uint8), np.arange(2), np.arange(n * 2).reshape(n, 2),
        random.integers(1, 6, n).astype(np.uint8),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(contracts(), st.integers(1, 7), st.integers(0, 1 << 32))
def test_every_bit_comes_back(contract, n, seed):
    codec, given_ = SnapshotCodec(contract), snapshot(contract, n, seed)
    found = codec.decode(codec.encode(given_))
    for name in TENSORS.values():
        assert getattr(found.tensors, name).tobytes() == getattr(given_.tensors, name).tobytes()
        assert getattr(found.tensors, name).shape == getattr(given_.tensors, name).shape
    for name in ("scores", "shared_status", "ad_status", "shared_times", "ad_times", "rungs"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given_, name))
    assert found.attempt_id == "attempt"
    assert (found.request_id, found.event_timestamp, found.ad_ids) == ("r1", 1_574_553_600_123, given_.ad_ids)


def test_the_rungs_of_an_answer_from_one_rung_take_one_byte():
    codec, made = SnapshotCodec(Contract(())), snapshot(Contract(()), 200, 0)
    fresh = replace(made, rungs=np.full(200, Rung.FRESH, np.uint8))
    assert len(codec.encode(fresh)) == len(codec.encode(made)) - 200  # 199 digits, and one byte of their length
    assert codec.decode(codec.encode(fresh)).rungs.tolist() == [Rung.FRESH] * 200


def test_a_snapshot_from_before_there_were_rungs_is_fresh():
    codec, made = SnapshotCodec(Contract(())), snapshot(Contract(()), 3, 0)
    older = SCHEMA | {"fields": SCHEMA["fields"][:-1]}
    assert [f["name"] for f in SCHEMA["fields"]][-1] == "rungs"
    record = read_record(codec.encode(made))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, older, {name: value for name, value in record.items() if name != "rungs"})
    found = codec.decode(frame(fingerprint(older), out.getvalue()))
    assert found.rungs.tolist() == [Rung.FRESH] * 3
    assert found.scores.tolist() == made.scores.tolist()
    assert codec.from_record(record | {"rungs": None}).rungs.tolist() == [Rung.FRESH] * 3  # an older archive's file


@pytest.mark.parametrize("text", ["12", "1234", "129", "0", "9", "x"])
def test_rungs_that_do_not_fit_are_refused(text):
    codec = SnapshotCodec(Contract(()))
    record = read_record(codec.encode(snapshot(Contract(()), 3, 0)))
    with pytest.raises(ValueError, match=r"rung|Rung|literal"):
        codec.from_record(record | {"rungs": text})


def test_another_contracts_snapshot_is_refused():
    mine, other = Contract((Identity("a", "v", "user", "dense", "int64"),)), Contract(())
    with pytest.raises(SignatureMismatch, match="r1"):
        SnapshotCodec(other).decode(SnapshotCodec(mine).encode(snapshot(mine, 2, 0)))


def test_bytes_that_are_no_snapshot_are_refused():
    with pytest.raises(InvalidEvent, match="no Avro message"):
        SnapshotCodec(Contract(())).decode(b"\xff" * 9)
    whole = SnapshotCodec(Contract(())).encode(snapshot(Contract(()), 1, 0))
    with pytest.raises(InvalidEvent, match="snapshots"):
        SnapshotCodec(Contract(())).decode(whole[:15])
    with pytest.raises(InvalidEvent, match="has schema ffff"):
        SnapshotCodec(Contract(())).decode(whole[:2] + b"\xff" * 8 + whole[10:])
