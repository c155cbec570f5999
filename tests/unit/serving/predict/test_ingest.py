"""Events that the pipeline would discard are refused by name, and counted; Kafka is not needed for that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from adfeast.clock import ManualClock
from adfeast.contract.event_rules import server_rules
from adfeast.settings import Settings
from serving.clients.kafka import SLICE as MESSAGES
from serving.clients.kafka import Confirmed, KafkaProducer
from serving.errors import InvalidRequest
from serving.predict.ingest import SLICE as EVENTS
from serving.predict.ingest import EventLog
from serving.predict.refusals import CALLERS, OTHERS, Refusals, caller_of
from serving.proto import adfeast_pb2 as pb

NOW, DAY, MOST = 1_732_460_000_000, 86_400_000, 5_000
SCHEMA = {
    "type": "record",
    "name": "Bid",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "event_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "user_id", "type": "string"},
        {"name": "price", "type": "double"},
        {"name": "page", "type": "string", "default": ""},
    ],
}


@pytest.fixture
def log() -> Iterator[EventLog]:
    producer = KafkaProducer("127.0.0.1:1", linger_ms=1)
    yield EventLog("bids", SCHEMA, "user_id", producer, ManualClock(NOW), server_rules(Settings()), Refusals(), MOST)
    producer.close(0.1)


def event(**changes: pb.Value) -> pb.Event:
    fields = {"event_id": pb.Value(text="e"), "user_id": pb.Value(text="u"), "price": pb.Value(number=1)}
    return pb.Event(fields=fields | changes)


@pytest.mark.parametrize(
    ("changes", "reason", "part"),
    [
        ({"event_timestamp": pb.Value(integer=NOW + 31_000)}, "ahead", "lies 31 s ahead of this server's clock"),
        ({"event_timestamp": pb.Value(integer=NOW + 3_600_000)}, "ahead", "check the clock of the sender"),
        ({"event_timestamp": pb.Value(integer=NOW - 8 * DAY)}, "age", "event_max_age_s"),
        ({"event_timestamp": pb.Value(integer=NOW * 1000)}, "time", f"microseconds, send {NOW}"),
        ({"event_timestamp": pb.Value(integer=NOW // 1000)}, "age", "send milliseconds since 1970"),
        ({"event_id": pb.Value(text="x" * 400)}, "id", "event_id must have 1 to 256 bytes, got 400"),
        ({"user_id": pb.Value(text="u\0")}, "id", "user_id must have no zero byte"),
        ({"price": pb.Value(number=float("nan"))}, "finite", "price must be a finite number, got nan"),
        ({"price": pb.Value(number=float("-inf"))}, "finite", "price must be a finite number, got -inf"),
        ({"price": pb.Value(text="1")}, "type", "price must be double"),
        ({"price": pb.Value()}, "value", "'price' has no value"),
        ({"colour": pb.Value(text="red")}, "column", "colour is not a column"),
        ({"page": pb.Value(text="x" * 65_536)}, "size", "bytes; send at most 65536 bytes an event"),
    ],
)
def test_a_refusal_names_event_field_and_value_and_is_counted(
    log: EventLog, changes: Any, reason: str, part: str
) -> None:
    request = pb.LogEventsRequest(events=[event(), event(), event(), event(**changes)])
    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(log.accept(request, "10.0.0.7"))
    assert str(refused.value).startswith("events[3]: ")
    assert part in str(refused.value)
    assert log.refusals.read() == {("10.0.0.7", reason): 1}
    assert log.refusals.total == 1


@pytest.mark.parametrize(
    "changes",
    [{"price": pb.Value(text="1" * 500_000)}, {"c" * 500_000: pb.Value()}, {"c" * 500_000: pb.Value(text="x")}],
)
def test_a_refusal_shows_the_beginning_of_a_long_value_only(log: EventLog, changes: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"\.\.\. \(500000 long\)") as refused:
        asyncio.run(log.accept(pb.LogEventsRequest(events=[event(**changes)]), "10.0.0.7"))
    assert len(str(refused.value)) < 1_000


def test_more_events_than_a_call_may_bring_are_refused_before_any_is_looked_at(log: EventLog) -> None:
    request = pb.LogEventsRequest(events=[pb.Event()] * (MOST + 1))
    with pytest.raises(InvalidRequest, match=r"events has 5001 events; send at most 5000 \(max_events\) a call"):
        asyncio.run(log.accept(request, "10.0.0.7"))
    assert log.refusals.total == 0


def test_others_have_their_turn_while_a_large_call_is_taken() -> None:
    async def run() -> tuple[int, int]:
        turns, accepting = 0, asyncio.ensure_future(log.accept(pb.LogEventsRequest(events=[event()] * MOST), "a"))
        while not accepting.done():
            await asyncio.sleep(0)
            turns += 1
        return accepting.result(), turns

    class Taking(KafkaProducer):
        def send(self, topic: str, key: bytes, value: bytes, confirmed: Confirmed) -> None:
            confirmed(None, Taken())

    class Taken:
        def timestamp(self) -> tuple[int, int]:
            return 0, 0

    producer = Taking("127.0.0.1:1", linger_ms=1)
    rules = server_rules(Settings())
    log = EventLog("bids", SCHEMA, "user_id", producer, ManualClock(NOW), rules, Refusals(), MOST)
    accepted, turns = asyncio.run(run())
    producer.close(0.1)
    assert accepted == MOST
    assert turns >= MOST / EVENTS + MOST / MESSAGES - 2


def test_callers_beyond_the_first_thousand_count_together() -> None:
    refusals = Refusals()
    for n in range(CALLERS + 5):
        refusals.count(f"host-{n}", "ahead")
    refusals.count("host-0", "ahead")
    assert refusals.read()["host-0", "ahead"] == 2
    assert refusals.read()[OTHERS, "ahead"] == 5
    assert refusals.total == CALLERS + 6


def test_a_caller_is_a_host_without_its_port() -> None:
    assert caller_of("ipv4:10.0.0.7:50123") == "10.0.0.7"
    assert caller_of("ipv6:[::1]:50123") == caller_of("ipv6:%5B::1%5D:50123") == "::1"
    assert caller_of("unix:/tmp/socket") == "unix:/tmp/socket"
