"""Events are encoded from their schema, and a wrong one is refused by the name of its field."""

import json

import pytest

from adfeast.contract.events import EVENT_ID, EVENT_TIME, MAX_ID_BYTES, EventCodec
from adfeast.errors import InvalidEvent

SCHEMA = {
    "type": "record",
    "name": "Shown",
    "fields": [
        {"name": EVENT_ID, "type": "string"},
        {"name": EVENT_TIME, "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "slot", "type": "int"},
        {"name": "price", "type": "double"},
    ],
}
GOOD = {EVENT_ID: "e1", EVENT_TIME: 1_574_553_600_123, "slot": -3, "price": 0.25}


@pytest.fixture
def codec() -> EventCodec:
    return EventCodec("shown", json.loads(json.dumps(SCHEMA)))


def test_an_event_comes_back_as_it_went(codec):
    assert codec.decode(codec.encode(GOOD)) == GOOD


def test_the_bytes_are_raw_avro(codec):
    assert codec.encode(GOOD | {"slot": 1, "price": 0.0})[:3] == b"\x04e1"
    assert codec.encode(GOOD | {"slot": 1, "price": 0.0}).endswith(b"\x02" + b"\0" * 8)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slot": "3"}, "slot"),
        ({"slot": True}, "slot"),
        ({"slot": 1 << 31}, "slot"),
        ({"price": "cheap"}, "price"),
        ({EVENT_ID: ""}, EVENT_ID),
        ({EVENT_ID: "x" * (MAX_ID_BYTES + 1)}, EVENT_ID),
        ({EVENT_TIME: 0}, EVENT_TIME),
        ({EVENT_TIME: 1.5}, EVENT_TIME),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(codec, change, field):
    with pytest.raises(InvalidEvent, match=field) as refused:
        codec.encode(GOOD | change)
    assert refused.value.field == field
    assert "shown" in str(refused.value)


def test_a_missing_field_is_named(codec):
    with pytest.raises(InvalidEvent, match=r"price .*missing"):
        codec.encode({k: v for k, v in GOOD.items() if k != "price"})


@pytest.mark.parametrize("damage", [b"", b"\xff" * 40, b"hello", lambda good: good[:-1], lambda good: good + b"\0"])
def test_bytes_that_are_no_event_are_refused(codec, damage):
    message = damage(codec.encode(GOOD)) if callable(damage) else damage
    with pytest.raises(InvalidEvent):
        codec.decode(message)
