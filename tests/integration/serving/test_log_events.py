"""LogImpression and LogClick: acknowledged means that Kafka has it."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from typing import Any

import grpc
import pytest

from adfeast.clock import ManualClock, to_ms
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_ID, EVENT_TIME, IMPRESSIONS, EventCodec
from adfeast.contract.signature import USER
from adfeast.fleet import servers
from adfeast.settings import Settings
from infra.local.platform.platform import Platform
from serving.clients.kafka import KafkaProducer
from serving.predict.events import EventLogs
from serving.proto import adfeast_pb2 as pb
from tests.integration.serving.calls import (
    CODES,
    MOMENT,
    Topic,
    refusal,
    wait_for,
)


def event(definitions: Definitions, topic: str, known_as: str, **changes: Any) -> pb.Event:
    """A valid event of a topic, with the columns its schema has."""
    made = pb.Event()
    for name, kind in EventCodec(topic, definitions.events[topic]).columns.items():
        if name == EVENT_ID:
            made.fields[name].text = known_as
        elif name == EVENT_TIME:
            made.fields[name].integer = to_ms(MOMENT)
        elif kind == "string":
            made.fields[name].text = f"some {name}"
        else:
            made.fields[name].integer = 1
    for name, value in changes.items():
        made.fields[name].CopyFrom(value)
    return made


@pytest.mark.parametrize(("topic", "call"), [(IMPRESSIONS, "LogImpression"), (CLICKS, "LogClick")])
def test_events_are_acknowledged_once_kafka_has_them(
    stub: Any, definitions: Definitions, settings: Settings, topic: str, call: str
) -> None:
    reading, codec = Topic(settings, topic), EventCodec(topic, definitions.events[topic])
    ids = [uuid.uuid4().hex for _ in range(50)]
    request = pb.LogEventsRequest(events=[event(definitions, topic, i) for i in ids])
    for _ in range(2):  # sent again, as after a lost answer
        assert getattr(stub, call)(request).accepted == 50
    messages = reading.read(100)
    events = [codec.decode(m.value()) for m in messages]
    assert sorted(e[EVENT_ID] for e in events) == sorted(ids * 2)
    key = definitions.entities[USER]
    assert all(m.key() == e[key].encode() for m, e in zip(messages, events, strict=True))


def test_an_event_without_a_time_gets_the_servers(stub: Any, definitions: Definitions, settings: Settings) -> None:
    reading, sent = Topic(settings, CLICKS), event(definitions, CLICKS, uuid.uuid4().hex)
    del sent.fields[EVENT_TIME]
    before = time.time() * 1000
    stub.LogClick(pb.LogEventsRequest(events=[sent]))
    decoded = EventCodec(CLICKS, definitions.events[CLICKS]).decode(reading.read(1)[0].value())
    assert before - 1 <= decoded[EVENT_TIME] <= time.time() * 1000


def test_a_bad_event_refuses_the_whole_call(stub: Any, definitions: Definitions, settings: Settings) -> None:
    reading, marker = Topic(settings, CLICKS), uuid.uuid4().hex
    good, now_ms = event(definitions, CLICKS, "good"), time.time_ns() // 1_000_000
    for changes, part in (
        ({EVENT_ID: pb.Value(text="")}, f"{EVENT_ID} must have 1 to 256 bytes"),
        ({EVENT_ID: pb.Value(integer=3)}, f"{EVENT_ID} must be string, got 3"),
        ({EVENT_ID: pb.Value()}, f"{EVENT_ID!r} has no value"),
        ({EVENT_ID: pb.Value(text="x" * 400)}, f"{EVENT_ID} must have 1 to 256 bytes, got 400"),
        ({EVENT_TIME: pb.Value(integer=now_ms + 3_600_000)}, "s ahead of this server's clock, 30 s are allowed"),
        ({EVENT_TIME: pb.Value(integer=now_ms * 1000)}, "microseconds"),
        ({"colour": pb.Value(text="red")}, "colour is not a column"),
    ):
        bad = event(definitions, CLICKS, "bad", **changes)
        code, text = refusal(stub.LogClick, pb.LogEventsRequest(events=[good, good, bad]))
        assert code == CODES.INVALID_ARGUMENT
        assert text.startswith("events[2]: ")
        assert part in text
    assert refusal(stub.LogClick, pb.LogEventsRequest())[0] == CODES.INVALID_ARGUMENT
    wait_for(lambda: max((r.refused for r in servers(settings, time.time_ns() // 1_000_000)), default=0) >= 7)
    stub.LogClick(pb.LogEventsRequest(events=[event(definitions, CLICKS, marker)]))
    (first,) = reading.read(1)
    assert EventCodec(CLICKS, definitions.events[CLICKS]).decode(first.value())[EVENT_ID] == marker


@pytest.mark.parametrize(("wrong_ms", "said"), [(40_000, "40 s ahead of Kafka's"), (-40_000, "40 s behind Kafka's")])
def test_a_server_says_that_its_clock_is_wrong(
    definitions: Definitions, settings: Settings, wrong_ms: int, said: str
) -> None:
    async def write() -> tuple[str, ...]:
        clock = ManualClock(time.time_ns() // 1_000_000)
        logs = EventLogs(settings, producer, clock)
        await logs.refresh(definitions)
        for off_ms in (0, wrong_ms):
            assert logs.problems == ()
            clock.ms = time.time_ns() // 1_000_000 + off_ms
            await logs.of(CLICKS).accept(pb.LogEventsRequest(events=[event(definitions, CLICKS, "c")]), "a test")
        return logs.problems

    producer = KafkaProducer(settings.kafka_bootstrap, linger_ms=1)
    try:
        [problem] = asyncio.run(write())
    finally:
        producer.close()
    assert said in problem


def test_killed_in_the_middle_acknowledged_events_are_there(
    platform: Platform, stub: Any, definitions: Definitions, settings: Settings
) -> None:
    """The caller sends again what was not acknowledged; every acknowledged event is on the topic."""
    reading, acknowledged, failures = Topic(settings, IMPRESSIONS), [], []
    for i in range(60):
        if i == 30:
            pid = platform.kill("prediction_server")
            assert pid != os.getpid()
        wanted = uuid.uuid4().hex

        def send(event_id: str = wanted) -> bool:
            try:
                stub.LogImpression(pb.LogEventsRequest(events=[event(definitions, IMPRESSIONS, event_id)]))
            except grpc.RpcError as error:
                failures.append(error.code())
                return False
            return True

        wait_for(send)
        acknowledged.append(wanted)
    assert set(failures) == {CODES.UNAVAILABLE}
    codec = EventCodec(IMPRESSIONS, definitions.events[IMPRESSIONS])
    assert {codec.decode(m.value())[EVENT_ID] for m in reading.read(60)} == set(acknowledged)
