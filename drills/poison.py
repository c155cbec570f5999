"""Calls of LogImpression that no server may take: each must be refused by the status that says whose fault it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EVENT_ID, EVENT_TIME, IMPRESSIONS, EventCodec
from adfeast.settings import Settings
from adfeast_client.client import values
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc

METHOD = f"/{pb.DESCRIPTOR.services_by_name['Prediction'].full_name}/LogImpression"
DEADLINE_S = 10.0
HOUR_MS = 3_600_000
CODE = grpc.StatusCode


def send_poison(settings: Settings, definitions: Definitions) -> list[str]:
    """Sends each once; one text a call that was not refused as it should be."""
    problems = []
    with grpc.insecure_channel(settings.grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = pb_grpc.PredictionStub(channel)  # type: ignore[no-untyped-call]
        for what, events, wanted in _calls(settings, definitions):
            request = pb.LogEventsRequest(events=events)
            got = _status(lambda request=request: stub.LogImpression(request, timeout=DEADLINE_S))
            if got is not wanted:
                problems.append(f"{what} is answered by {got.name}, {wanted.name} was expected")
        raw = channel.unary_unary(METHOD)
        if (got := _status(lambda: raw(b"\xff" * 100, timeout=DEADLINE_S))) is CODE.OK:
            problems.append("bytes that are no message are taken")
    return problems


def _calls(settings: Settings, definitions: Definitions) -> Iterator[tuple[str, list[pb.Event], grpc.StatusCode]]:
    good = _event(definitions)
    now_ms = time.time_ns() // 1_000_000
    changes: tuple[tuple[str, dict[str, str | int | float]], ...] = (
        ("an event without an id", {EVENT_ID: ""}),
        ("an id that is a number", {EVENT_ID: 3}),
        ("an id of 400 bytes", {EVENT_ID: "x" * 400}),
        ("an event of the next hour", {EVENT_TIME: now_ms + HOUR_MS}),
        ("an event in microseconds", {EVENT_TIME: now_ms * 1000}),
        ("a column that nobody knows", {"colour": "red"}),
        ("a NaN", dict.fromkeys(good, float("nan"))),
    )
    for what, change in changes:
        yield what, [pb.Event(fields=values(good)), pb.Event(fields=values(good | change))], CODE.INVALID_ARGUMENT
    too_many = [pb.Event(fields=values({EVENT_ID: "i"}))] * (settings.max_events + 1)
    yield "too many events", too_many, CODE.INVALID_ARGUMENT
    huge = [pb.Event(fields=values(good | {EVENT_ID: "x" * 1024 * (settings.max_request_kb + 1)}))]
    yield "a call that is too large", huge, CODE.RESOURCE_EXHAUSTED


def _event(definitions: Definitions) -> dict[str, str | int | float]:
    columns = EventCodec(IMPRESSIONS, definitions.events[IMPRESSIONS]).columns
    event: dict[str, str | int | float] = {n: "poison" if k == "string" else 1 for n, k in columns.items()}
    return event | {EVENT_TIME: time.time_ns() // 1_000_000}


def _status(call: Any) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return CODE.OK
