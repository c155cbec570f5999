"""What holds for a call holds over gRPC and over REST: the same answers, refusals, limits, shedding and deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_ID, IMPRESSIONS, EventCodec
from adfeast.feast_ext.online_layout import redis_key
from adfeast.settings import Settings
from serving.admission import PAUSE_MS
from tests.unit.serving.fronts import SCHEMAS, Both, Front, Refused, during
from tests.unit.serving.predict.in_memory import NOW, row

FRONTS = ("grpc", "rest")
ASKED = {"user_id": "u", "ad_ids": ["a", "b", "c"], "context": {"slot": "top", "hour": 7, "bid": 1.5}}


async def refusal(call: Awaitable[Any]) -> Refused:
    with pytest.raises(Refused) as refused:
        await call
    return refused.value


def click(**changes: Any) -> dict[str, Any]:
    return {"event_id": "e", "user_name": "u", "price": 1.5} | changes


def test_the_same_auction_has_the_same_scores_bit_for_bit(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[Any]:
        hashes = opened.server.redis.hashes
        for k, ad in enumerate("abc"):
            hashes[redis_key("ad_name", ad, "project")] = row("a_fast", a_count=5 + k, a_rate=0.1 * k)
        opened.server.stand_at(NOW, "u_fast", "a_fast")
        await opened.server.tiers.watermarks.look()
        return [await opened.fronts[name].predict(ASKED) for name in FRONTS]

    over_grpc, over_rest = during(definitions, work)
    assert over_grpc == over_rest
    assert len(set(over_grpc["scores"].values())) == 3
    assert over_grpc["model_version"] == "m1"


LONG = "x" * 1_100
BAD: list[tuple[dict[str, Any], str]] = [
    ({"user_id": ""}, "user_id has 0 bytes"),
    ({"user_id": "u\0"}, "without a zero byte"),
    ({"ad_ids": []}, "ad_ids is empty"),
    ({"ad_ids": ["a", ""]}, "ad_ids[1] is empty"),
    ({"ad_ids": ["a", "a"]}, "names 'a' more than once"),
    ({"ad_ids": [str(i) for i in range(11)]}, "11 candidates; send at most 10"),
    ({"context": {"colour": "red"}}, "it knows bid, hour, slot"),
    ({"context": {"hour": "7"}}, "context 'hour' is int64: send integer, got text '7'"),
    ({"context": {"hour": True}}, "got flag True"),
    ({"context": {"hour": None}}, "got nothing"),
    ({"context": {"slot": LONG}}, "of 1100 bytes; send at most 1024"),
    ({"context": {"bid": 1e300}}, "send a finite number"),
    ({"request_id": "r" * 257}, "request_id has 257 bytes"),
]


def test_a_bad_auction_is_refused_in_the_same_words(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[list[Refused]]:
        return [[await refusal(opened.fronts[f].predict(ASKED | bad)) for f in FRONTS] for bad, _ in BAD]

    for (over_grpc, over_rest), (_, part) in zip(during(definitions, work), BAD, strict=True):
        assert over_grpc == over_rest
        assert over_rest.code == "INVALID_ARGUMENT"
        assert part in over_rest.message


def test_events_are_written_alike_and_answered_once_kafka_has_them(definitions: Definitions) -> None:
    sent = {
        CLICKS: [click(), click(event_id="f", price=2)],
        IMPRESSIONS: [{"event_id": "i", "user_name": "v", "position": 3, "event_timestamp": NOW - 5}],
    }

    async def work(opened: Both) -> list[Any]:
        found = []
        for name in FRONTS:
            counts = [await opened.fronts[name].log(topic, events) for topic, events in sent.items()]
            found.append((counts, list(opened.kafka.messages)))
            opened.kafka.messages.clear()
        return found

    over_grpc, over_rest = during(definitions, work)
    assert over_grpc == over_rest
    counts, messages = over_rest
    assert counts == [2, 1]
    decoded = [EventCodec(topic, SCHEMAS[topic]).decode(message) for topic, _, message in messages]
    assert [e[EVENT_ID] for e in decoded] == ["e", "f", "i"]
    assert [key for _, key, _ in messages] == [b"u", b"u", b"v"]


BAD_EVENTS: list[tuple[list[dict[str, Any]], str]] = [
    ([], "events is empty"),
    ([click(), click(event_id="")], "events[1]: event for 'clicks': event_id must have 1 to 256 bytes"),
    ([click(price="1")], "price must be double"),
    ([click(price=None)], "'price' has no value"),
    ([click(colour="red")], "colour is not a column"),
    ([click(event_timestamp=NOW + 60_000)], "lies 60 s ahead of this server's clock"),
    ([click()] * 51, "events has 51 events; send at most 50 (max_events) a call"),
]


def test_bad_events_are_refused_in_the_same_words_counted_alike_and_none_is_written(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[Any]:
        found = [[await refusal(opened.fronts[f].log(CLICKS, bad)) for f in FRONTS] for bad, _ in BAD_EVENTS]
        assert not opened.kafka.messages
        assert set(opened.logs.refusals.read().values()) == {2}
        assert {caller for caller, _ in opened.logs.refusals.read()} == {"127.0.0.1"}
        return found

    found = during(definitions, work, settings=Settings(rest_address="127.0.0.1:0", max_events=50))
    for (over_grpc, over_rest), (_, part) in zip(found, BAD_EVENTS, strict=True):
        assert over_grpc == over_rest
        assert over_rest.code == "INVALID_ARGUMENT"
        assert part in over_rest.message


def test_events_that_kafka_does_not_confirm_are_not_acknowledged(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[Refused]:
        opened.kafka.down = True
        return [await refusal(opened.fronts[f].log(CLICKS, [click()])) for f in FRONTS]

    over_grpc, over_rest = during(definitions, work)
    assert over_grpc == over_rest
    assert over_rest.code == "UNAVAILABLE"
    assert "send the call again" in over_rest.message


@pytest.mark.parametrize("front", FRONTS)
def test_calls_of_both_fronts_share_one_limit_and_are_shed_with_a_pause(definitions: Definitions, front: str) -> None:
    """Whichever front has taken the only place, the other one refuses."""

    async def work(opened: Both) -> None:
        opened.server.scorer.stalled = True  # until its budget is spent
        other = opened.fronts[next(f for f in FRONTS if f != front)]
        first = asyncio.ensure_future(other.predict(ASKED))
        while not opened.server.scorer.asked:
            await asyncio.sleep(0.001)
        shed = await refusal(opened.fronts[front].predict(ASKED))
        assert (shed.code, "1 calls of Predict are under way" in shed.message) == ("RESOURCE_EXHAUSTED", True)
        assert shed.retry_ms is not None
        assert PAUSE_MS[0] <= shed.retry_ms <= PAUSE_MS[1]
        assert opened.admission.shed["Predict"] == 1
        assert len((await first)["scores"]) == 3
        opened.server.scorer.stalled = False
        assert len((await opened.fronts[front].predict(ASKED))["scores"]) == 3

    settings = Settings(rest_address="127.0.0.1:0", triton_budget_ms=400)
    during(definitions, work, settings=settings, Predict=1)


@pytest.mark.parametrize("front", FRONTS)
def test_a_deadline_that_passes_ends_the_call_and_leaves_its_place(definitions: Definitions, front: str) -> None:
    async def work(opened: Both) -> None:
        opened.kafka.silent = True
        for _ in range(2):
            late = await refusal(opened.fronts[front].log(CLICKS, [click()], within_s=0.15))
            assert late.code == "DEADLINE_EXCEEDED"
            await asyncio.sleep(0.05)
        opened.kafka.silent = False
        assert await opened.fronts[front].log(CLICKS, [click()], within_s=5) == 1

    during(definitions, work, LogClick=1)


@pytest.mark.parametrize("front", FRONTS)
def test_a_deadline_shortens_what_is_waited_for(definitions: Definitions, front: str) -> None:
    """The model may take 10 s; a call that has a second left is answered in time, without it."""

    async def work(opened: Both) -> dict[str, Any]:
        opened.server.scorer.stalled = True
        answered: dict[str, Any] = await opened.fronts[front].predict(ASKED, within_s=1)
        return answered

    settings = Settings(rest_address="127.0.0.1:0", triton_budget_ms=10_000, dynamodb_budget_ms=10_000)
    answered = during(definitions, work, settings=settings)
    assert list(answered["scores"].values()) == pytest.approx([0.02] * 3)


@pytest.mark.parametrize("front", FRONTS)
def test_a_call_that_brings_too_many_bytes_is_refused_and_the_next_is_answered(
    definitions: Definitions, front: str
) -> None:
    async def work(opened: Both) -> None:
        calling: Front = opened.fronts[front]
        await refusal(calling.predict(ASKED | {"user_id": "x" * 70_000}))
        assert len((await calling.predict(ASKED))["scores"]) == 3

    during(definitions, work, settings=Settings(rest_address="127.0.0.1:0", max_request_kb=64))


@pytest.mark.parametrize("front", FRONTS)
def test_others_have_their_turn_while_a_large_call_is_taken(definitions: Definitions, front: str) -> None:
    async def work(opened: Both) -> int:
        looks, events = 0, [click(event_id=f"e{i}") for i in range(4_000)]
        calling = asyncio.ensure_future(opened.fronts[front].log(CLICKS, events))
        while not calling.done():
            await asyncio.sleep(0)
            looks += 1
        assert calling.result() == 4_000
        return looks

    assert during(definitions, work) >= 4_000 / 200
