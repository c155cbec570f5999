"""One stored value at a time: what cannot be read is missing for its feature, said once, and the others are served."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import FloatList, Int64List, StringList, Value
from google.protobuf.timestamp_pb2 import Timestamp

from adfeast.contract.ids import hash_id
from adfeast.contract.tensors import Status
from serving.features.columns import decode_dynamodb, decode_redis, settle
from serving.features.plan import DYNAMODB, Plan
from serving.features.values import ABSENT_ID, ValueDecoder

NOW = 1_600_000_000_000
BROKEN = b"\xff\xff\xff"


@pytest.fixture
def decoder() -> ValueDecoder:
    return ValueDecoder()


def stored(**kind: object) -> bytes:
    return bytes(Value(**kind).SerializeToString())


def test_a_value_of_the_type_the_feature_had_before_is_missing(decoder: ValueDecoder) -> None:
    assert decoder.number[stored(int64_val=3)] == 3
    assert np.isnan(decoder.number[stored(string_val="3")])
    assert np.isnan(decoder.number[stored(int64_list_val=Int64List(val=[3]))])
    assert decoder.identity[stored(string_val="red")] == hash_id("red")
    assert decoder.identity[stored(double_val=3.5)] == ABSENT_ID
    assert np.isnan(decoder.number[BROKEN])
    assert decoder.identity[BROKEN] == ABSENT_ID
    assert decoder.time_ms[BROKEN] == 0
    for impossible in (Timestamp(seconds=1, nanos=-1), Timestamp(seconds=1 << 50)):
        assert decoder.time_ms[impossible.SerializeToString()] == 0


def test_a_list_or_an_embedding_of_another_type_or_not_finite_is_missing(decoder: ValueDecoder) -> None:
    ids, vector = np.zeros(3, np.int64), np.zeros(2, np.float32)
    assert decoder.ids(stored(int64_list_val=Int64List(val=[5])), ids, "f")
    assert ids.tolist() == [5, -1, -1]
    for data in (stored(string_list_val=StringList(val=["a"])), stored(int64_val=5), BROKEN):
        assert not decoder.ids(data, ids, "f")
    assert decoder.embedding(stored(float_list_val=FloatList(val=[1, 2])), vector, "f")
    for values in ([1.0, float("nan")], [float("inf"), 1.0], [1.0]):
        assert not decoder.embedding(stored(float_list_val=FloatList(val=values)), vector, "f")
    assert not decoder.embedding(stored(int64_val=5), vector, "f")


def test_long_values_are_not_kept(decoder: ValueDecoder) -> None:
    for n in range(20):
        text = f"{n}" * 1_000
        assert decoder.identity[stored(string_val=text)] == hash_id(text)
        assert np.isnan(decoder.number[stored(string_val=text)])
        assert decoder.time_ms[bytes(1_000 + n)] == 0
    assert len(decoder.identity) == len(decoder.number) == len(decoder.time_ms) == 0


def test_a_fault_is_said_once(decoder: ValueDecoder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        for n in range(3):
            decoder.number[stored(string_val=f"text {n}")]
    assert [r.message for r in caplog.records] == ["a stored value: is no number (but str): served as missing"]


def test_one_bad_value_leaves_its_row_and_its_request_alone(plan: Plan, decoder: ValueDecoder) -> None:
    for (_, tier), block in plan.blocks.items():
        values = {s.feature.name: good(s.feature.role, s.feature.width) for s in block.slots}
        first = block.slots[0].feature.name
        if tier == DYNAMODB:
            items = {
                table: {
                    "good": item(values),
                    "bad": item(values | {first: BROKEN}),
                    "none": {"event_ts": {"S": "no time"}, "values": {"M": {}}},
                }
                for table in block.tables
            }
            rows = decode_dynamodb(block, items, ["good", "bad", "none"], decoder)
            assert rows.absent[2].all()
        else:
            times = [b"\x08\x01"] * len(block.views)
            answers = [*values.values(), *times, BROKEN, *list(values.values())[1:], *times]
            rows = decode_redis(block, answers, 2, decoder)
        status = settle(block, rows, int(rows.times.max()), NOW)
        assert (status[0] == Status.PRESENT).all()
        assert status[1, 0] == Status.NOT_FOUND
        assert (status[1, 1:] == Status.PRESENT).all()


def good(role: str, width: int) -> bytes:
    if role == "list":
        return stored(int64_list_val=Int64List(val=[1] * width))
    if role == "embedding":
        return stored(float_list_val=FloatList(val=[1.0] * width))
    return stored(int64_val=1)


def item(values: dict[str, bytes]) -> dict[str, object]:
    from base64 import b64encode

    return {
        "event_ts": {"S": "2019-11-28T00:00:00+00:00"},
        "values": {"M": {name: {"B": b64encode(data).decode()} for name, data in values.items()}},
    }
