"""Encodes and decodes impressions and clicks from the schemas of the Kafka sources; nothing here knows a column but the
envelope and the keys that join events with each other.

A message is Avro's single-object encoding: a marker, the fingerprint of the schema it was written with, the record. So
a column can be added while messages of the older schema are in flight, and a topic can be read again from its
beginning. See adfeast.contract.event_schemas for the schemas that a topic ever had, and adfeast.contract.event_rules
for the limits, which hold here and inside Flink.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
from fastavro.schema import fingerprint as avro_fingerprint
from fastavro.schema import to_parsing_canonical_form

from adfeast.contract import event_rules
from adfeast.contract.event_bytes import RecordReader
from adfeast.contract.event_rules import Rules
from adfeast.contract.event_values import PYTHON_TYPES, TIMESTAMP, check_value
from adfeast.errors import SHOWN_CHARACTERS, DefinitionError, InvalidEvent, shown

EVENT_ID, EVENT_TIME = "event_id", "event_timestamp"
REQUEST_ID, IMPRESSION_ID, ATTEMPT_ID = "request_id", "impression_id", "attempt_id"
IMPRESSIONS, CLICKS = "impressions", "clicks"

MAX_ID_BYTES = Rules.max_id_bytes
MAX_TIME_MS = Rules.max_time_ms
MARKER = b"\xc3\x01"
FINGERPRINT_BYTES = 8
_HEADER = len(MARKER) + FINGERPRINT_BYTES
HERE, APPENDED = "this server's clock", "the time at which Kafka took it"


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
            "message that names its schema",
            rule=event_rules.FRAME,
        )
    return bytes(message[len(MARKER) : _HEADER]), memoryview(message)[_HEADER:]


def column_types(schema: Mapping[str, Any]) -> dict[str, str]:
    """Column to type in the short form of a plan: an Avro primitive, `timestamp-millis` or `array<string>`.

    Raises:
        DefinitionError: a type that events cannot have.
    """

    def kind(name: str, avro: Any) -> str:
        if isinstance(avro, str) and avro in PYTHON_TYPES:
            return avro
        if isinstance(avro, dict) and avro.get("logicalType") == TIMESTAMP:
            return TIMESTAMP
        if isinstance(avro, dict) and avro.get("type") == "array" and avro.get("items") == "string":
            return "array<string>"
        raise DefinitionError(
            f"column {name!r} of schema {schema.get('name')!r} has type {avro}; events know {', '.join(PYTHON_TYPES)}, "
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
    return (
        float(value)
        if kind in ("float", "double") and isinstance(value, int) and not isinstance(value, bool)
        else value
    )


def check_defaults(topic: str, schema: Mapping[str, Any]) -> None:
    """Raises: DefinitionError: a default is no value that an event could have."""
    form = _Form(topic, schema, Rules())
    for name, value in form.defaults.items():
        try:
            form.check(name, value)
        except InvalidEvent as error:
            raise DefinitionError(f"default of column {name!r}: {error}") from error


class _Form:
    """One schema of a topic: its rules and its bytes; the Java decoder (streaming/java) has the same rules."""

    def __init__(self, topic: str, schema: Mapping[str, Any], rules: Rules) -> None:
        self.topic, self.kinds, self.defaults = topic, column_types(schema), column_defaults(schema)
        self.fingerprint, self._rules = fingerprint(schema), rules
        # Milliseconds go in and out as plain integers: fastavro sees the schema without logical types.
        plain = json.loads(json.dumps(schema))
        for f in plain["fields"]:
            f["type"] = "long" if self.kinds[f["name"]] == TIMESTAMP else f["type"]
        self._wire = fastavro.parse_schema(plain)

    def complete(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The event with every column, in their order, checked."""
        for name in event:
            if name not in self.kinds:
                problem = f"is not a column of {self.topic!r}; columns: {', '.join(self.kinds)}"
                raise self._refuse(name if len(name) <= SHOWN_CHARACTERS else shown(name), event_rules.COLUMN, problem)
        whole = {**self.defaults, **event}
        for name, kind in self.kinds.items():
            if name not in whole:
                raise self._refuse(name, event_rules.COLUMN, f"({kind}) is missing")
            self.check(name, whole[name])
        return {name: whole[name] for name in self.kinds}

    def check(self, name: str, value: Any) -> None:
        """Raises: InvalidEvent: the value is none that the column may have."""
        try:
            check_value(name, self.kinds[name], value, self._rules, optional=name in self.defaults)
        except InvalidEvent as error:
            raise self._refuse(name, error.rule, str(error)) from error

    def check_moment(self, event: Mapping[str, Any], at_ms: int | None, clock: str) -> None:
        """Raises: InvalidEvent: the event's time lies too far from `at_ms`."""
        if at_ms is not None and EVENT_TIME in event:
            broken = self._rules.out_of_time(event[EVENT_TIME], at_ms, clock)
            if broken:
                raise self._refuse(EVENT_TIME, *broken)

    def write(self, whole: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._wire, whole)
        return out.getvalue()

    def read(self, body: memoryview, at_ms: int | None) -> dict[str, Any]:
        """The event in a record, whose first broken rule is named, in the order of the bytes."""
        reader, event = RecordReader(body), {}
        for name, kind in self.kinds.items():
            try:
                event[name] = reader.value(kind)
            except InvalidEvent as error:
                raise self._refuse(name, error.rule, str(error)) from error
            self.check(name, event[name])
            if name == EVENT_TIME:
                self.check_moment(event, at_ms, APPENDED)
        if reader.left:
            problem = f"{len(body)} bytes on topic {self.topic!r} are {reader.left} longer than an event"
            raise InvalidEvent(problem, rule=event_rules.RECORD)
        return event

    def _refuse(self, field: str, rule: str, problem: str) -> InvalidEvent:
        return InvalidEvent(f"event for {self.topic!r}: {field} {problem}", field, rule)


class EventCodec:
    """Encodes the events of one topic with one schema, and decodes those that were written with any known one.

    Args:
        topic: Kafka topic, for messages.
        schema: Avro record schema as parsed JSON that events are encoded with; producers take it from
            `adfeast.contract.event_schemas.writing`.
        known: schemas that messages may have been written with, newest last (`event_schemas.known`); events are
            decoded into the columns of the newest. By default only `schema`.
        rules: limits of its user, from adfeast.contract.event_rules.
    """

    def __init__(
        self,
        topic: str,
        schema: Mapping[str, Any],
        known: Sequence[Mapping[str, Any]] = (),
        rules: Rules = Rules(),  # noqa: B008 (it is frozen)
    ) -> None:
        self.topic, self.schema = topic, schema
        self._own = _Form(topic, schema, rules)
        forms = [_Form(topic, s, rules) for s in known] or [self._own]
        # Defaults are no part of a fingerprint: those of today hold.
        self._forms = {f.fingerprint: f for f in [*forms, self._own]}
        self._newest = self._forms[forms[-1].fingerprint]
        self.columns: dict[str, str] = {n: "long" if k == TIMESTAMP else k for n, k in self._own.kinds.items()}

    def encode(self, event: Mapping[str, Any], at_ms: int | None = None) -> bytes:
        """The message of a checked event; `event_timestamp` in milliseconds since 1970.

        Columns with a default may be left out.

        Args:
            at_ms: this process' time, from which the event's may not lie too far; None for events of any time.

        Raises:
            InvalidEvent: the event does not fit the schema; the first field that is unknown, missing or breaks a rule
                is named.
        """
        whole = self._own.complete(event)
        self._own.check_moment(whole, at_ms, HERE)
        return frame(self._own.fingerprint, self._own.write(whole))

    def decode(self, message: bytes, at_ms: int | None = None) -> dict[str, Any]:
        """The event in the newest columns, with their defaults for what its writer did not know.

        A column is checked by the rules of the schema it was written with: what was acknowledged stays valid.

        Args:
            at_ms: when Kafka took the message; None for events of any time.

        Raises:
            InvalidEvent: the bytes are not an event of this topic, or of a schema that is not known.
        """
        try:
            identity, body = unframe(message)
        except InvalidEvent as error:
            raise InvalidEvent(f"on topic {self.topic!r}: {error}", rule=error.rule) from error
        form = self._forms.get(identity)
        if form is None:
            raise InvalidEvent(
                f"a message on topic {self.topic!r} was written with schema {identity.hex()}, which is none of "
                f"{', '.join(f.hex() for f in self._forms)}: read it with all schemas that event_schemas.known gives",
                rule=event_rules.SCHEMA,
            )
        event = {**self._newest.defaults, **form.read(body, at_ms)}
        return {name: event[name] for name in self._newest.kinds}
