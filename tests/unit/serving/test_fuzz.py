"""Whatever is sent, a call is answered or refused by name: no fault of ours, no hang, and the next call is answered.

`make fuzz` tries a hundred thousand of each.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, IMPRESSIONS
from serving.errors import InvalidRequest
from serving.proto import adfeast_pb2 as pb
from tests.unit.serving.fronts import SCHEMAS, Both, both
from tests.unit.serving.predict.in_memory import NOW

small = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "150")),
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
PATHS = ("/v1/predict/ctr", "/v1/impressions", "/v1/clicks")

# Texts that ids and numbers of other programs bring, beside those of Hypothesis.
odd = st.sampled_from(
    ["", "\0", "a\0b", "x" * 300, "x" * 70_000, "NaN", "-0", "1e400", "9" * 40, "\u202e", "%n", "' OR 1=1"]
)
texts = st.one_of(odd, st.text(max_size=20), st.sampled_from(["a", "b", "u", "e"]))
names = st.one_of(
    st.sampled_from(["slot", "hour", "bid", *(f["name"] for s in SCHEMAS.values() for f in s["fields"])]), texts
)
int64s = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(NOW - 10**6, NOW + 10**6)
values = st.one_of(
    st.builds(pb.Value),
    texts.map(lambda v: pb.Value(text=v)),
    int64s.map(lambda v: pb.Value(integer=v)),
    st.floats().map(lambda v: pb.Value(number=v)),
    st.booleans().map(lambda v: pb.Value(flag=v)),
)
maps = st.dictionaries(names, values, max_size=6)
auctions = st.builds(
    pb.PredictRequest, user_id=texts, ad_ids=st.lists(texts, max_size=12), context=maps, request_id=texts
)
logs = st.lists(maps.map(lambda fields: pb.Event(fields=fields)), max_size=4).map(
    lambda e: pb.LogEventsRequest(events=e)
)

plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
trees = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "user_id": texts | trees,
        "ad_ids": st.lists(texts, max_size=12) | trees,
        "context": st.dictionaries(names, plain, max_size=4) | trees,
        "event_time": st.sampled_from(["2019-11-24T12:53:20Z", "now", ""]) | trees,
        "request_id": texts,
        "events": st.lists(st.dictionaries(names, plain, max_size=6), max_size=3) | trees,
        "event_id": texts,
        "user_name": texts,
        "price": plain,
    },
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def opened(loop: asyncio.AbstractEventLoop, definitions: Definitions) -> Iterator[Both]:
    stack = AsyncExitStack()
    yield loop.run_until_complete(stack.enter_async_context(both(definitions)))
    loop.run_until_complete(stack.aclose())


def answer_of(loop: asyncio.AbstractEventLoop, call: Awaitable[Any]) -> Any:
    """What a call gives, or how it is refused; every other error is one of ours."""
    try:
        return loop.run_until_complete(call)
    except InvalidRequest as refused:
        return refused


def test_any_auction_is_scored_or_refused(loop: asyncio.AbstractEventLoop, opened: Both) -> None:
    @small
    @given(auctions)
    def tried(asked: pb.PredictRequest) -> None:
        answer = answer_of(loop, opened.server.predictor.predict(asked))
        assert answer.field if isinstance(answer, InvalidRequest) else len(answer.scores) == len(asked.ad_ids)

    tried()


def test_any_events_are_written_whole_or_refused_whole(loop: asyncio.AbstractEventLoop, opened: Both) -> None:
    @small
    @given(logs, st.sampled_from([IMPRESSIONS, CLICKS]))
    def tried(sent: pb.LogEventsRequest, topic: str) -> None:
        opened.kafka.messages.clear()
        answer = answer_of(loop, opened.logs.of(topic).accept(sent, "caller"))
        assert answer.field if isinstance(answer, InvalidRequest) else answer == len(sent.events)
        assert len(opened.kafka.messages) == (0 if isinstance(answer, InvalidRequest) else answer)

    tried()


def checked(document: Any, path: str, status: int, answer: Any) -> None:
    """As the document says: a 200 or a problem of the caller's, in their shapes."""
    assert status in (200, 400, 413), answer
    call = document["paths"][path]["post"]["responses"]
    if status == 200:
        schema = call["200"]["content"]["application/json"]["schema"]
    else:
        schema = document["components"]["schemas"]["Problem"]
        assert answer["error"]["code"] == "INVALID_ARGUMENT"
        assert answer["error"]["todo"]
    OAS31Validator(schema).validate(answer)


def test_any_json_and_any_bytes_are_answered_as_the_document_says(
    loop: asyncio.AbstractEventLoop, opened: Both
) -> None:
    good, seen = {"user_id": "u", "ad_ids": ["a"]}, set[int]()
    _, document = loop.run_until_complete(opened.rest.raw("/v1/openapi.json", method="GET"))

    @small
    @given(
        st.sampled_from(PATHS),
        bodies.map(lambda b: json.dumps(b).encode())
        | trees.map(lambda t: json.dumps(t).encode())
        | st.binary(max_size=200),
    )
    def tried(path: str, body: bytes) -> None:
        status, answer = loop.run_until_complete(asyncio.wait_for(opened.rest.raw(path, body), 10))
        seen.add(status)
        checked(document, path, status, answer)

    tried()
    status, answer = loop.run_until_complete(opened.rest.raw(PATHS[0], good))
    assert status == 200
    checked(document, PATHS[0], status, answer)
    assert 400 in seen


@small
@given(body=st.binary(max_size=300))
def test_any_bytes_are_a_message_or_none(body: bytes) -> None:
    """What gRPC's deserializer is given: protobuf says no with its own error, and nothing else happens."""
    from google.protobuf.message import DecodeError

    for kind in (pb.PredictRequest, pb.LogEventsRequest):
        try:
            kind.FromString(body)
        except DecodeError:
            continue


def test_raw_bytes_on_the_ports_leave_them_answering(loop: asyncio.AbstractEventLoop, opened: Both) -> None:
    ports = (int(opened.address.rpartition(":")[2]), int(opened.rest.url.rpartition(":")[2]))
    head = b"POST /v1/clicks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    async def send(port: int, data: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        await asyncio.wait_for(reader.read(65_536), 10)
        writer.close()

    @small
    @given(
        st.sampled_from(ports),
        st.sampled_from([b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", head]),
        st.binary(max_size=200),
    )
    def tried(port: int, beginning: bytes, data: bytes) -> None:
        loop.run_until_complete(send(port, beginning + data))

    tried()
    for front in opened.fronts.values():
        assert loop.run_until_complete(front.predict({"user_id": "u", "ad_ids": ["a"]}))["scores"]
