"""Encodes and decodes impressions and clicks from the schemas of the Kafka sources; nothing here knows a column but the
envelope and the keys that join events with each other.

A message is Avro's single-object encoding: a marker, the fingerprint of the schema it was written with, the record. So
a column can be added while messages of the older schema are in flight, and a topic can be read again from its
beginning. See adfeast.contract.event_schemas for the schemas that a topic ever had.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
from fastavro.schema import fingerprint as avro_fingerprint
from fastavro.schema import to_parsing_canonical_form

from adfeast.errors import DefinitionError, InvalidEvent

EVENT_ID, EVENT_TIME = "event_id", "event_timestamp"
REQUEST_ID, IMPRESSION_ID = "request_id", "impression_id"
IMPRESSIONS, CLICKS = "impressions", "clicks"

MAX_ID_BYTES = 256
MAX_TIME_MS = 253_402_300_800_000  # year 10000, behind which no calendar of a reader goes
MARKER = b"\xc3\x01"
FINGERPRINT_BYTES = 8
_HEADER = len(MARKER) + FINGERPRINT_BYTES
TIMESTAMP = "timestamp-millis"
_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "long": (int,),
    "float": (float, int),
    "double": (float, int),
    "boolean": (bool,),
    "bytes": (bytes,),
}
_BOUNDS = {"int": 1 << 31, "long": 1 << 63}
_FLOATS = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}


def fingerprint(schema: Mapping[str, Any]) -> bytes:
    """CRC-64-AVRO of the schema's Parsing Canonical Form, as it stands in a message (little-endian)."""
    return bytes.fromhex(avro_fingerprint(to_parsing_canonical_form(dict(schema)), "CRC-64-AVRO"))


def frame(fingerprint: bytes, body: bytes) -> bytes:
    """A message: Avro's marker, the fingerprint of the schema that `body` was written with, and the body."""
    return MARKER + fingerprint + body


def unframe(message: bytes) -> tuple[bytes, memoryview]:
    """(fingerprint, body) of a message.

    Raises:
        InvalidEvent: it does not begin with Avro's marker and a fingerprint.
    """
    if len(message) < _HEADER or message[: len(MARKER)] != MARKER:
        raise InvalidEvent(
            f"{len(message)} bytes that begin with {bytes(message[:_HEADER]).hex(' ') or 'nothing'} are no Avro message "
            "with a schema fingerprint"
        )
    return bytes(message[len(MARKER) : _HEADER]), memoryview(message)[_HEADER:]


def column_types(schema: Mapping[str, Any]) -> dict[str, str]:
    """Column to type in the short form of a plan: an Avro primitive, `timestamp-millis` or `array<string>`.

    Raises:
        DefinitionError: a type that events cannot have.
    """

    def kind(name: str, avro: Any) -> str:
        if isinstance(avro, str) and avro in _PYTHON:
            return avro
        if isinstance(avro, dict) and avro.get("logicalType") == TIMESTAMP:
            return TIMESTAMP
        if isinstance(avro, dict) and avro.get("type") == "array" and avro.get("items") == "string":
            return "array<string>"
        raise DefinitionError(
            f"column {name!r} of schema {schema.get('name')!r} has type {avro}; events know {', '.join(_PYTHON)}, "
            f"{TIMESTAMP} and arrays of strings"
        )

    return {f["name"]: kind(f["name"], f["type"]) for f in schema["fields"]}


def column_defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Column to the value it has in events whose writer did not know it or left it out; columns without are absent."""
    kinds = column_types(schema)
    return {f["name"]: _default(kinds[f["name"]], f["default"]) for f in schema["fields"] if "default" in f}


def _default(kind: str, value: Any) -> Any:
    if kind == "bytes" and isinstance(value, str):
        return value.encode("latin-1")  # how Avro writes bytes in JSON
    return float(value) if kind in _FLOATS and isinstance(value, int) and not isinstance(value, bool) else value


def dead_letter_topic(topic: str) -> str:
    """Where messages of `topic` go that are not valid in its format."""
    return f"{topic}.dead"


class EventCodec:
    """Encodes and decodes the events of one topic as raw Avro (no header), the form Flink's `avro` format reads.

    Args:
        topic: Kafka topic, for messages.
        schema: Avro record schema as parsed JSON, from `Definitions.events`.
    """

    def __init__(self, topic: str, schema: dict[str, Any]) -> None:
        self.topic, self.schema = topic, schema
        self.columns: dict[str, str] = {
            f["name"]: f["type"] if isinstance(f["type"], str) else f["type"]["type"] for f in schema["fields"]
        }
        plain = json.loads(json.dumps(schema))
        for f in plain["fields"]:
            f["type"] = self.columns[f["name"]]
        self._wire = fastavro.parse_schema(plain)

    def check(self, event: Mapping[str, Any]) -> None:
        """Raises InvalidEvent naming the first field that is unknown, missing, empty or of another type."""
        for name in event:
            if name not in self.columns:
                raise self._refuse(name, f"is not a column of {self.topic!r}; columns: {', '.join(self.columns)}")
        for name, kind in self.columns.items():
            if name not in event:
                raise self._refuse(name, f"({kind}) is missing")
            value: Any = event[name]
            kinds: Any = _PYTHON[kind]
            if not isinstance(value, kinds) or (isinstance(value, bool) and kind != "boolean"):
                raise self._refuse(name, f"must be {kind}, got {value!r} ({type(value).__name__})")
            if kind in _BOUNDS and not -_BOUNDS[kind] <= value < _BOUNDS[kind]:
                raise self._refuse(name, f"must fit {kind}, got {value!r}")
            if name.endswith("_id") and not 0 < len(value.encode()) <= MAX_ID_BYTES:
                raise self._refuse(name, f"must have 1 to {MAX_ID_BYTES} bytes, got {len(value.encode())}")
        if event[EVENT_TIME] <= 0:
            raise self._refuse(EVENT_TIME, f"must be milliseconds since 1970, got {event[EVENT_TIME]!r}")

    def encode(self, event: Mapping[str, Any]) -> bytes:
        """Avro bytes of a checked event; `event_timestamp` in milliseconds since 1970.

        Raises:
            InvalidEvent: the event does not fit the schema.
        """
        self.check(event)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._wire, dict(event))
        return out.getvalue()

    def decode(self, message: bytes) -> dict[str, Any]:
        """Raises: InvalidEvent: the bytes are not an event of this topic."""
        source = io.BytesIO(message)
        try:
            event: Any = fastavro.schemaless_reader(source, self._wire, None)
        except (EOFError, ValueError, IndexError, KeyError) as error:
            raise InvalidEvent(
                f"{len(message)} bytes on topic {self.topic!r} are not valid in its format: {error}"
            ) from error
        if source.read(1):
            raise InvalidEvent(f"{len(message)} bytes on topic {self.topic!r} are longer than an event")
        self.check(event)
        return event  # type: ignore[no-any-return]

    def _refuse(self, field: str, problem: str) -> InvalidEvent:
        return InvalidEvent(f"event for {self.topic!r}: {field} {problem}", field)
