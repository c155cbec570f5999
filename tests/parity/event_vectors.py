"""Messages, good and bad, and what a decoder must say of each, be it the Python codec or the one inside Flink.

    python -m tests.parity.event_vectors

writes them to where the Java tests read them. What a rule forbids by construction has the verdict of the rule; what
random damage does to a message has that of the Python codec. A line of the file is `plan`, with the texts of a plan
(columns, writers, rules), or `message`, with the time at which Kafka took it, the verdict (`event`, `mark` or the
broken rule), the bytes, and the row of an event as Avro bytes or the time of a mark.
"""

from __future__ import annotations

import random
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from adfeast.contract.definitions import Definitions
from adfeast.contract.event_rules import Rules, pipeline_rules
from adfeast.contract.events import EVENT_ID, EVENT_TIME, EventCodec, fingerprint, frame
from adfeast.errors import InvalidEvent
from adfeast.settings import ROOT, Settings
from streaming.jobs.sql import event_rules
from streaming.marks import decode_mark, encode_mark
from streaming.plan import make_plan

FILE = ROOT / "streaming" / "java" / "src" / "test" / "resources" / "event_vectors.tsv"
EVENT, MARK = "event", "mark"
TOPIC, WRITTEN, DAY = "shown", 1_732_460_000_000, 86_400_000
MUTANTS = 120
_TIME = {"type": "long", "logicalType": "timestamp-millis"}
OLD: dict[str, Any] = {
    "type": "record",
    "name": "Shown",
    "fields": [
        {"name": EVENT_ID, "type": "string"},
        {"name": EVENT_TIME, "type": _TIME},
        {"name": "user_id", "type": "string"},
        {"name": "dropped_id", "type": "string"},
        {"name": "attempt_id", "type": "string", "default": ""},
        {"name": "placement", "type": "string"},
        {"name": "page_id", "type": "long"},
        {"name": "position", "type": "int"},
        {"name": "share", "type": "float"},
        {"name": "price", "type": "double"},
        {"name": "seen", "type": "boolean"},
        {"name": "seal", "type": "bytes"},
        {"name": "until", "type": _TIME},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}
NEW: dict[str, Any] = {
    **OLD,
    "fields": [
        {"name": "device", "type": "string", "default": "tel"},
        {"name": "weight", "type": "double", "default": 1.5},
        *({"name": f["name"], "type": f["type"]} for f in reversed(OLD["fields"]) if f["name"] != "dropped_id"),
    ],
}
KINDS = {f["name"]: "long" if f["type"] == _TIME else f["type"] for s in (OLD, NEW) for f in s["fields"]}


@dataclass(frozen=True)
class Raw:
    """Bytes that stand where a value should."""

    data: bytes


@dataclass(frozen=True)
class Vector:
    """A message, what is said of it, and what becomes of it: an event, or the time of a mark."""

    verdict: str
    message: bytes
    row: dict[str, Any] | int | None = None


def varint(number: int) -> bytes:
    """Avro's long."""
    raw, out = (number << 1) ^ (number >> 63), bytearray()
    while raw > 0x7F:
        out.append(raw & 0x7F | 0x80)
        raw >>= 7
    return bytes([*out, raw])


def avro(kind: Any, value: Any) -> bytes:
    """Avro's bytes of a value, whatever rule it breaks."""
    if isinstance(value, Raw):
        return value.data
    if isinstance(kind, dict):
        block = varint(len(value)) + b"".join(avro("string", v) for v in value) if value else b""
        return block + b"\0"
    if kind in ("float", "double"):
        return struct.pack("<f" if kind == "float" else "<d", value)
    if kind == "boolean":
        return bytes([value])
    if kind in ("int", "long"):
        return varint(value)
    data = value if isinstance(value, bytes) else value.encode()
    return varint(len(data)) + data


def message(schema: dict[str, Any], event: dict[str, Any]) -> bytes:
    """An event as a writer without rules would send it."""
    return frame(fingerprint(schema), b"".join(avro(KINDS[f["name"]], event[f["name"]]) for f in schema["fields"]))


def row(event: dict[str, Any]) -> bytes:
    """An event in the newest columns."""
    return b"".join(avro(KINDS[f["name"]], event[f["name"]]) for f in NEW["fields"])


def good(dice: random.Random) -> dict[str, Any]:
    """A valid event with all columns of both schemas."""
    return {
        EVENT_ID: f"e{dice.randrange(1000)}",
        EVENT_TIME: WRITTEN - dice.randrange(1000),
        "user_id": dice.choice(("u1", "größe", "用户", "😀")),
        "dropped_id": "d",
        "attempt_id": dice.choice(("", "a1")),
        "placement": dice.choice(("", "top", "a\0b")),
        "page_id": dice.randrange(-5, 1 << 40),
        "position": dice.randrange(-3, 100),
        "share": dice.choice((0.5, -0.0, 1e-45)),
        "price": dice.choice((0.25, 1e300, -1.5)),
        "seen": dice.random() < 0.5,
        "seal": dice.randbytes(dice.randrange(4)),
        "until": WRITTEN + DAY,
        "tags": ["t"] * dice.randrange(3),
        "device": dice.choice(("tel", "tv")),
        "weight": 1.5,
    }


def changes(rules: Rules) -> Iterator[tuple[str, Any, str]]:
    """(column, value, verdict) at the boundaries of each rule, in the schema OLD."""
    nan, inf, most = float("nan"), float("inf"), rules.max_id_bytes
    old = EVENT if rules.max_age_ms is None else "age"
    ids = [("x" * most, EVENT), ("x" * (most + 1), "id"), ("x" * 400, "id"), ("é" * (most // 2), EVENT), ("a\0", "id")]
    ids += [("é" * (most // 2 + 1), "id"), (b"\xff", "text"), (b"\xed\xa0\x80", "text"), (b"\xc0\x80", "text")]
    for name, empty in ((EVENT_ID, "id"), ("attempt_id", EVENT), ("dropped_id", "id")):
        yield from ((name, value, verdict) for value, verdict in [*ids, ("", empty)])
    for ms, verdict in (
        *((0, "time"), (-1, "time"), (1, old), (WRITTEN // 1000, old), (WRITTEN * 1000, "time")),
        *((WRITTEN + rules.ahead_ms, EVENT), (WRITTEN + rules.ahead_ms + 1, "ahead"), (WRITTEN + 3_600_000, "ahead")),
        *((rules.max_time_ms - 1, "ahead"), (rules.max_time_ms, "time"), (-(1 << 63), "time"), ((1 << 63) - 1, "time")),
        *((WRITTEN - 7 * DAY, EVENT), (WRITTEN - 7 * DAY - 1, old)),
    ):
        yield EVENT_TIME, ms, verdict
    for ms, verdict in ((0, "time"), (1, EVENT), (rules.max_time_ms - 1, EVENT), (rules.max_time_ms, "time")):
        yield "until", ms, verdict
    for number in (1 << 31, (1 << 31) - 1, -(1 << 31), -(1 << 31) - 1, 1 << 62):
        yield "position", number, EVENT if -(1 << 31) <= number < 1 << 31 else "range"
    for number in ((1 << 63) - 1, -(1 << 63)):
        yield "page_id", number, EVENT
    for name, largest in (("share", 3.4028234663852886e38), ("price", 1.7976931348623157e308)):
        yield from ((name, value, "finite") for value in (nan, inf, -inf))
        yield from ((name, value, EVENT) for value in (largest, -largest, 0.0))
    yield from (("seen", Raw(bytes([flag])), "record") for flag in (2, 255))
    for number, verdict in ((b"\x80\0", EVENT), (b"\x80" * 9 + b"\x02", "record"), (b"\x80" * 10 + b"\0", "record")):
        yield "position", Raw(number), verdict
    yield from (("seal", Raw(varint(size)), "record") for size in (-1, 1 << 40, -(1 << 63)))
    one = avro("string", "t")
    for block, verdict in (
        (varint(-1) + varint(len(one)) + one + b"\0", EVENT),
        (varint(1) + one + varint(1) + one + b"\0", EVENT),
        (varint(1) + avro("string", b"\xff") + b"\0", "text"),
        *((varint(count) + b"\0", "record") for count in (1 << 40, -(1 << 63), -(1 << 40))),
    ):
        yield "tags", Raw(block), verdict


def _meant(column: str, value: Any) -> Any:
    """What an unusual form of a value stands for."""
    if isinstance(value, Raw):
        return 0 if column == "position" else ["t"] * value.data.count(b"\x02t")
    return value


def vectors(rules: Rules, codec: EventCodec) -> Iterator[Vector]:
    """All messages for one set of rules."""
    dice = random.Random(7)
    written = []
    for schema in [OLD, NEW] * 6:
        event = good(dice)
        known = event if schema is NEW else event | {"device": "tel"}
        if schema is NEW:
            event["attempt_id"] = "a1"
        written.append(message(schema, event))
        yield Vector(EVENT, written[-1], known)
    for column, value, verdict in changes(rules):
        event = good(dice)
        whole = event | {"device": "tel", column: _meant(column, value)}
        yield Vector(verdict, message(OLD, event | {column: value}), whole if verdict == EVENT else None)
    yield Vector("id", message(NEW, good(dice) | {"attempt_id": ""}))
    whole = written[0]
    yield from (Vector("record" if n >= 10 else "frame", whole[:n]) for n in range(len(whole)))
    yield Vector("record", whole + b"\0")
    yield Vector("frame", b"\xc3\x02" + whole[2:])
    yield Vector("schema", whole[:9] + bytes([whole[9] ^ 1]) + whole[10:])
    for ms in (1, WRITTEN, WRITTEN + 6_000, WRITTEN + DAY, rules.max_time_ms - 1):
        yield Vector(MARK, encode_mark(ms), min(ms, WRITTEN))
    yield from (Vector("time", encode_mark(ms)) for ms in (0, -1, rules.max_time_ms, (1 << 63) - 1))
    for _ in range(MUTANTS):
        damaged = bytearray(dice.choice(written))
        for _ in range(dice.randrange(1, 3)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        verdict, found = judged(codec, bytes(damaged))
        yield Vector(verdict, bytes(damaged), found)


def judged(codec: EventCodec, data: bytes) -> tuple[str, dict[str, Any] | int | None]:
    """What Python says of a message that Kafka took at WRITTEN."""
    try:
        marked = decode_mark(data)
        if marked is not None:
            return MARK, min(marked, WRITTEN)
        return EVENT, codec.decode(data, WRITTEN)
    except InvalidEvent as error:
        return error.rule, None


@cache
def cases() -> list[tuple[EventCodec, str, list[Vector]]]:
    """(codec, texts of the plan, vectors): with an age limit, and without one as in a replay."""
    return list(_cases())


def _cases() -> Iterator[tuple[EventCodec, str, list[Vector]]]:
    for age_s in (7 * DAY // 1000, None):
        with tempfile.TemporaryDirectory() as folder:
            stores = {name: f"sqlite:///{folder}/{name}.db" for name in ("registry_url", "ledger_url")}
            settings = Settings(event_max_age_s=age_s, **stores)
            for schema in (OLD, NEW):
                plan = make_plan(Definitions("p", {}, {}, {TOPIC: schema}, {}, {}, {}), settings)
        event = next(e for e in plan["events"] if e["topic"] == TOPIC)
        rules = pipeline_rules(settings)
        codec = EventCodec(TOPIC, NEW, [OLD, NEW], rules)
        yield codec, "\t".join([event["columns"], event["writers"], event_rules(plan)]), list(vectors(rules, codec))


def text() -> str:
    """The file."""
    lines = []
    for _, plan, made in cases():
        lines.append(f"plan\t{plan}")
        for v in made:
            found = row(v.row).hex() if isinstance(v.row, dict) else "" if v.row is None else str(v.row)
            lines.append("\t".join(["message", str(WRITTEN), v.verdict, v.message.hex(), found]))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the file."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text())


if __name__ == "__main__":
    main()
