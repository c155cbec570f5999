"""Events are encoded from their schema, and a wrong one is refused by the name of its field."""

import json

import pytest

from adfeast.contract.event_rules import Rules
from adfeast.contract.events import (
    EVENT_ID,
    EVENT_TIME,
    MAX_ID_BYTES,
    MAX_TIME_MS,
    EventCodec,
    check_defaults,
    fingerprint,
    frame,
    unframe,
)
from adfeast.errors import DefinitionError, InvalidEvent

SCHEMA = {
    "type": "record",
    "name": "Shown",
    "fields": [
        {"name": EVENT_ID, "type": "string"},
        {"name": EVENT_TIME, "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "slot", "type": "int"},
        {"name": "price", "type": "double"},
        {"name": "page_id", "type": "long"},
    ],
}
NEWER = {
    **SCHEMA,
    "fields": [
        {"name": "device", "type": "string", "default": "phone"},
        *(f for f in SCHEMA["fields"] if f["name"] != "slot"),
        {"name": "seal", "type": "bytes", "default": "\u00ff"},
        {"name": "weight", "type": "float", "default": 1},
    ],
}
GOOD = {EVENT_ID: "e1", EVENT_TIME: 1_574_553_600_123, "slot": -3, "price": 0.25, "page_id": 7}


@pytest.fixture
def codec() -> EventCodec:
    return EventCodec("shown", json.loads(json.dumps(SCHEMA)))


def test_an_event_comes_back_as_it_went(codec):
    assert codec.decode(codec.encode(GOOD)) == GOOD


def test_a_message_names_the_schema_it_was_written_with(codec):
    message = codec.encode(GOOD | {"slot": 1, "price": 0.0})
    assert message[:2] == b"\xc3\x01"
    identity, body = unframe(message)
    assert identity == fingerprint(SCHEMA) != fingerprint(NEWER)
    assert bytes(body[:3]) == b"\x04e1"
    assert frame(identity, bytes(body)) == message


def test_a_fingerprint_is_that_of_the_avro_specification():
    # Java's SchemaNormalization.parsingFingerprint64 of "int" is 0x7275d51a3f395c8f; little-endian in a message.
    assert fingerprint({"type": "int"}).hex() == "8f5c393f1ad57572"


def test_a_message_is_byte_for_byte_what_the_java_decoder_is_tested_with():
    columns = [
        {"name": EVENT_ID, "type": "string"},
        {"name": EVENT_TIME, "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "position", "type": "int"},
        {"name": "attempt_id", "type": "string", "default": ""},
        {"name": "share", "type": "float"},
        {"name": "seen", "type": "boolean"},
        {"name": "seal", "type": "bytes"},
    ]
    codec = EventCodec("seen", {"type": "record", "name": "Seen", "fields": columns})
    event = {EVENT_ID: "sönderbar", EVENT_TIME: 1_574_500_000_123, "position": -3, "share": 0.5, "seen": True}
    # EventDecoderTest.aMessageOfThePythonCodecIsReadWhole
    message = "c30127382ebea2b352a81473c3b66e646572626172f6859bf8d25b05000000003f010400ff"
    assert codec.encode(event | {"seal": b"\x00\xff"}).hex() == message


def test_columns_left_out_have_their_default():
    newer = EventCodec("shown", NEWER)
    event = {k: v for k, v in GOOD.items() if k != "slot"}
    assert newer.decode(newer.encode(event)) == event | {"device": "phone", "seal": b"\xff", "weight": 1.0}
    assert newer.decode(newer.encode(event | {"device": "tv"}))["device"] == "tv"


def test_events_of_an_older_schema_come_in_the_newest_columns(codec):
    reader = EventCodec("shown", SCHEMA, known=[SCHEMA, NEWER])
    expected = {k: v for k, v in GOOD.items() if k != "slot"} | {"device": "phone", "seal": b"\xff", "weight": 1.0}
    assert reader.decode(codec.encode(GOOD)) == expected
    assert reader.decode(reader.encode(GOOD)) == expected
    assert list(reader.decode(codec.encode(GOOD))) == [f["name"] for f in NEWER["fields"]]


def test_an_unknown_schema_is_named(codec):
    with pytest.raises(InvalidEvent, match=fingerprint(NEWER).hex()):
        codec.decode(EventCodec("shown", NEWER).encode({k: v for k, v in GOOD.items() if k != "slot"}))


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
        ({EVENT_TIME: MAX_TIME_MS}, EVENT_TIME),
        ({EVENT_TIME: 1_574_553_600_123_000}, EVENT_TIME),
        ({"price": 10**400}, "price"),
        ({"price": float("nan")}, "price"),
        ({"price": float("inf")}, "price"),
        ({EVENT_ID: "e\0"}, EVENT_ID),
        ({EVENT_ID: "\ud800"}, EVENT_ID),
        ({"page_id": "seven"}, "page_id"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(codec, change, field):
    with pytest.raises(InvalidEvent, match=field) as refused:
        codec.encode(GOOD | change)
    assert refused.value.field == field
    assert "shown" in str(refused.value)


def test_an_id_that_is_a_number_has_no_length(codec):
    assert codec.decode(codec.encode(GOOD | {"page_id": 0}))["page_id"] == 0


def test_an_id_that_may_be_left_out_may_be_empty():
    optional = {"name": "attempt_id", "type": "string", "default": ""}
    codec = EventCodec("shown", {**SCHEMA, "fields": [*SCHEMA["fields"], optional]})
    assert codec.decode(codec.encode(GOOD))["attempt_id"] == ""
    with pytest.raises(InvalidEvent, match="attempt_id must have 0 to 256 bytes"):
        codec.encode(GOOD | {"attempt_id": "x" * 257})


def test_a_default_that_no_event_could_have_is_refused():
    for wrong in (float("nan"), float("inf")):
        weight = {"name": "weight", "type": "double", "default": wrong}
        with pytest.raises(DefinitionError, match="default of column 'weight'"):
            check_defaults("shown", {**SCHEMA, "fields": [*SCHEMA["fields"], weight]})
    check_defaults("shown", NEWER)


def test_an_event_that_lies_too_far_from_the_clock_is_refused_when_there_is_one():
    codec = EventCodec("shown", SCHEMA, rules=Rules(max_age_ms=1000))
    at_ms = GOOD[EVENT_TIME] + 1000
    assert codec.decode(codec.encode(GOOD, at_ms), at_ms) == GOOD
    for far in (at_ms + 1, GOOD[EVENT_TIME] - 60_001):
        for refused in (lambda far=far: codec.encode(GOOD, far), lambda far=far: codec.decode(codec.encode(GOOD), far)):
            with pytest.raises(InvalidEvent, match=EVENT_TIME) as error:
                refused()
            assert error.value.rule in ("age", "ahead")


def test_a_missing_field_is_named(codec):
    with pytest.raises(InvalidEvent, match=r"price .*missing"):
        codec.encode({k: v for k, v in GOOD.items() if k != "price"})


@pytest.mark.parametrize("damage", [b"", b"\xff" * 40, b"hello", lambda good: good[:-1], lambda good: good + b"\0"])
def test_bytes_that_are_no_event_are_refused(codec, damage):
    message = damage(codec.encode(GOOD)) if callable(damage) else damage
    with pytest.raises(InvalidEvent):
        codec.decode(message)
