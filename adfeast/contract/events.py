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
REQUEST_ID, IMPRESSION_ID, ATTEMPT_ID = "request_id", "impression_id", "attempt_id"
IMPRESSIONS, CLICKS = "impressions", "clicks"

MAX_ID_BYTES = 256
MAX_TIME_MS = 253_402_300_800_000  # year 10000, behind which no calendar of a reader goes
MARKER = b"\xc3\x01"
FINGERPRINT_BYTES = 8
_HEADER = len(MARKER) + FINGERPRINT_BYTES
TIMESTAMP = "timestamp-millis"
COLUMN_TYPES: dict[str, tuple[type, ...]] = {  # that a definition may declare
    "string": (str,),
    "int": (int,),
    "long": (int,),
    "float": (float, int),
    "double": (float, int),
    "boolean": (bool,),
}
_PYTHON = COLUMN_TYPES | {"bytes": (bytes,)}  # and what snapshots hold
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
            f"{len(message)} bytes that begin with {bytes(message[:_HEADER]).hex(' ') or 'nothing'} are no Avro "
            "message that names its schema"
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


class _Form:
    """One schema of a topic: its rules and its bytes; the Java decoder (streaming/java) has the same rules."""

    def __init__(self, topic: str, schema: Mapping[str, Any]) -> None:
        self.topic, self.kinds, self.defaults = topic, column_types(schema), column_defaults(schema)
        self.fingerprint = fingerprint(schema)
        # Milliseconds go in and out as plain integers: fastavro sees the schema without logical types.
        plain = json.loads(json.dumps(schema))
        for f in plain["fields"]:
            f["type"] = "long" if self.kinds[f["name"]] == TIMESTAMP else f["type"]
        self._wire = fastavro.parse_schema(plain)

    def complete(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The event with every column, in their order, checked."""
        for name in event:
            if name not in self.kinds:
                raise self._refuse(name, f"is not a column of {self.topic!r}; columns: {', '.join(self.kinds)}")
        whole = {**self.defaults, **event}
        for name, kind in self.kinds.items():
            if name not in whole:
                raise self._refuse(name, f"({kind}) is missing")
            self._check(name, kind, whole[name])
        return {name: whole[name] for name in self.kinds}

    def _check(self, name: str, kind: str, value: Any) -> None:
        if kind == "array<string>":
            if not isinstance(value, list) or any(not isinstance(v, str) for v in value):
                raise self._refuse(name, f"must be a list of strings, got {value!r}")
            return
        plain = "long" if kind == TIMESTAMP else kind
        kinds: Any = _PYTHON[plain]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kind != "boolean"):
            raise self._refuse(name, f"must be {plain}, got {value!r} ({type(value).__name__})")
        if plain in _BOUNDS and not -_BOUNDS[plain] <= value < _BOUNDS[plain]:
            raise self._refuse(name, f"must fit {plain}, got {value!r}")
        if plain in _FLOATS:
            try:
                _FLOATS[plain].pack(float(value))
            except OverflowError as error:
                raise self._refuse(name, f"must fit {plain}, got {value!r}") from error
        if kind == TIMESTAMP and not 0 < value < MAX_TIME_MS:
            raise self._refuse(name, f"must be milliseconds since 1970 and before the year 10000, got {value!r}")
        if kind == "string" and name.endswith("_id"):
            # An id that may be left out is empty when it is.
            least, size = 0 if name in self.defaults else 1, len(value.encode())
            if not least <= size <= MAX_ID_BYTES:
                raise self._refuse(name, f"must have {least} to {MAX_ID_BYTES} bytes, got {size}")

    def write(self, whole: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._wire, whole)
        return out.getvalue()

    def read(self, body: memoryview) -> dict[str, Any]:
        source = io.BytesIO(body)
        try:
            event: Any = fastavro.schemaless_reader(source, self._wire, None)
        except (EOFError, ValueError, IndexError, KeyError) as error:
            raise InvalidEvent(
                f"{len(body)} bytes on topic {self.topic!r} are not valid in its format: {error}"
            ) from error
        if source.read(1):
            raise InvalidEvent(f"{len(body)} bytes on topic {self.topic!r} are longer than an event")
        return self.complete(event)

    def _refuse(self, field: str, problem: str) -> InvalidEvent:
        return InvalidEvent(f"event for {self.topic!r}: {field} {problem}", field)


class EventCodec:
    """Encodes the events of one topic with one schema, and decodes those that were written with any known one.

    Args:
        topic: Kafka topic, for messages.
        schema: Avro record schema as parsed JSON that events are encoded with; producers take it from
            `adfeast.contract.event_schemas.writing`.
        known: schemas that messages may have been written with, newest last (`event_schemas.known`); events are
            decoded into the columns of the newest. By default only `schema`.
    """

    def __init__(self, topic: str, schema: Mapping[str, Any], known: Sequence[Mapping[str, Any]] = ()) -> None:
        self.topic, self.schema = topic, schema
        self._own = _Form(topic, schema)
        forms = [_Form(topic, s) for s in known] or [self._own]
        # Defaults are no part of a fingerprint: those of today hold.
        self._forms = {f.fingerprint: f for f in [*forms, self._own]}
        self._newest = self._forms[forms[-1].fingerprint]
        self.columns: dict[str, str] = {n: "long" if k == TIMESTAMP else k for n, k in self._own.kinds.items()}

    def check(self, event: Mapping[str, Any]) -> None:
        """Raises InvalidEvent naming the first field that is unknown, missing, empty or of another type."""
        self._own.complete(event)

    def encode(self, event: Mapping[str, Any]) -> bytes:
        """The message of a checked event; `event_timestamp` in milliseconds since 1970.

        Columns with a default may be left out.

        Raises:
            InvalidEvent: the event does not fit the schema.
        """
        return frame(self._own.fingerprint, self._own.write(self._own.complete(event)))

    def decode(self, message: bytes) -> dict[str, Any]:
        """The event in the newest columns, with their defaults for what its writer did not know.

        Raises:
            InvalidEvent: the bytes are not an event of this topic, or of a schema that is not known.
        """
        try:
            identity, body = unframe(message)
        except InvalidEvent as error:
            raise InvalidEvent(f"on topic {self.topic!r}: {error}") from error
        form = self._forms.get(identity)
        if form is None:
            raise InvalidEvent(
                f"a message on topic {self.topic!r} was written with schema {identity.hex()}, which is none of "
                f"{', '.join(f.hex() for f in self._forms)}: read it with all schemas that event_schemas.known gives"
            )
        event = form.read(body)
        if form is self._newest:
            return event
        return self._newest.complete({name: value for name, value in event.items() if name in self._newest.kinds})
