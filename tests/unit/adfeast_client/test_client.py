"""What an ad server sees of servers that fail, hang, shed load or refuse: real gRPC servers in the test's process."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from adfeast_client import CallFailed, Client, Policy
from serving.errors import InvalidRequest, Overloaded, StoreUnavailable
from serving.proto import adfeast_pb2 as pb
from tests.unit.serving.called import Answering, listening

PATIENT = Policy(predict_s=10.0, log_s=10.0, hedge_s=None, backoff_s=0.001)


class Fleet:
    """Some servers; what `misbehave` holds of one is done before it answers.

    Attributes:
        asked: (server, request) in the order of arrival.
    """

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.misbehave: dict[int, Callable[[], Awaitable[None]]] = {}
        self.asked: list[tuple[int, pb.PredictRequest]] = []

    def answer(self, number: int) -> Callable[[pb.PredictRequest], Awaitable[pb.PredictResponse]]:
        async def predict(request: pb.PredictRequest) -> pb.PredictResponse:
            self.asked.append((number, request))
            if number in self.misbehave:
                await self.misbehave[number]()
            return pb.PredictResponse(model_version=str(number), scores=[0.5] * len(request.ad_ids))

        return predict

    @property
    def servers(self) -> list[int]:
        return [number for number, _ in self.asked]


@asynccontextmanager
async def fleet(count: int) -> AsyncIterator[Fleet]:
    made = Fleet()
    async with AsyncExitStack() as stack:
        for number in range(count):
            _, address = await stack.enter_async_context(listening(Answering(made.answer(number))))
            made.addresses.append(address)
        yield made


def client(made: Fleet, policy: Policy = PATIENT) -> Client:
    return Client(made.addresses, policy, random_source=random.Random(1))


def during(count: int, work: Callable[[Fleet], Awaitable[None]]) -> None:
    async def run() -> None:
        async with fleet(count) as made:
            await work(made)

    asyncio.run(asyncio.wait_for(run(), 30))


def failing(error: Exception, times: int = 1_000) -> Callable[[], Awaitable[None]]:
    left = [times]

    async def fail() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    return fail


async def hang() -> None:
    await asyncio.sleep(60)


def test_a_user_has_one_server_and_users_are_spread() -> None:
    async def work(made: Fleet) -> None:
        async with client(made) as calling:
            first = [(await calling.predict(f"u{i}", ["a"])).model_version for i in range(30)]
            again = [(await calling.predict(f"u{i}", ["a"])).model_version for i in range(30)]
        assert first == again
        assert set(first) == {"0", "1", "2"}

    during(3, work)


def test_values_arrive_as_what_they_are() -> None:
    async def work(made: Fleet) -> None:
        async with client(made) as calling:
            answer = await calling.predict("u", ["a", "b"], {"slot": "top", "hour": 7, "bid": 1.5, "test": True})
        assert len(answer.scores) == 2
        context = made.asked[0][1].context
        assert {k: v.WhichOneof("kind") for k, v in context.items()} == {
            "slot": "text",
            "hour": "integer",
            "bid": "number",
            "test": "flag",
        }

    during(1, work)


def test_a_server_that_is_away_is_retried_at_the_next_and_then_asked_last() -> None:
    async def work(made: Fleet) -> None:
        async with client(
            made, Policy(predict_s=10, hedge_s=None, backoff_s=0.001, eject_after=2, eject_s=60)
        ) as calling:
            own = int((await calling.predict("u", ["a"])).model_version)
            made.misbehave[own] = failing(StoreUnavailable("away"))
            for _ in range(2):
                assert (await calling.predict("u", ["a"])).model_version != str(own)
            assert made.servers.count(own) == 3
            ids = [request.request_id for _, request in made.asked]
            assert ids[1] == ids[2] != ids[3] == ids[4]  # a retry is the same request
            await calling.predict("u", ["a"])
            assert made.servers.count(own) == 3  # it is not asked first any more

    during(3, work)


def test_what_the_caller_must_change_is_not_sent_again() -> None:
    async def work(made: Fleet) -> None:
        made.misbehave = dict.fromkeys(range(2), failing(InvalidRequest("ad_ids is empty", "send some")))
        async with client(made) as calling:
            with pytest.raises(CallFailed, match="INVALID_ARGUMENT after 1 attempts: ad_ids is empty; send some"):
                await calling.predict("u", [])
        assert len(made.asked) == 1

    during(2, work)


def test_the_pause_that_a_server_asks_for_is_kept() -> None:
    async def work(made: Fleet) -> None:
        made.misbehave[0] = failing(Overloaded("too much", 150), times=1)
        async with client(made) as calling:
            begin = time.monotonic()
            await calling.predict("u", ["a"])
            assert time.monotonic() - begin >= 0.15
        assert len(made.asked) == 2

    during(1, work)


def test_a_pause_beyond_the_deadline_ends_the_call_at_once() -> None:
    async def work(made: Fleet) -> None:
        made.misbehave[0] = failing(Overloaded("too much", 60_000))
        async with client(made) as calling:
            with pytest.raises(CallFailed) as failed:
                await calling.predict("u", ["a"])
        assert failed.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(made.asked) == 1

    during(1, work)


def test_a_server_that_wants_no_retry_gets_none() -> None:
    async def work(made: Fleet) -> None:
        made.misbehave[0] = failing(Overloaded("too much", -1))
        async with client(made) as calling:
            with pytest.raises(CallFailed):
                await calling.predict("u", ["a"])
        assert len(made.asked) == 1

    during(1, work)


def test_a_hedge_answers_when_the_own_server_hangs_which_is_then_asked_last() -> None:
    async def work(made: Fleet) -> None:
        policy = Policy(predict_s=20, hedge_s=0.05, eject_after=2, eject_s=60)
        async with client(made, policy) as calling:
            own = int((await calling.predict("u", ["a"])).model_version)
            made.misbehave[own] = hang
            made.asked.clear()
            for _ in range(2):
                assert (await calling.predict("u", ["a"])).model_version != str(own)
            assert made.servers[0] == own
            assert made.asked[0][1].request_id == made.asked[1][1].request_id
            made.asked.clear()
            await calling.predict("u", ["a"])
            assert made.servers[0] != own

    during(3, work)


def test_without_an_answer_the_deadline_ends_the_call() -> None:
    async def work(made: Fleet) -> None:
        made.misbehave[0] = hang
        async with client(made) as calling:
            begin = time.monotonic()
            with pytest.raises(CallFailed) as failed:
                await calling.predict("u", ["a"], within_s=0.2)
            assert 0.2 <= time.monotonic() - begin < 5
        assert failed.value.code == grpc.StatusCode.DEADLINE_EXCEEDED

    during(1, work)


def test_attempts_are_bounded_and_so_are_retries_of_a_fleet_in_trouble() -> None:
    async def work(made: Fleet) -> None:
        made.misbehave = dict.fromkeys(range(2), failing(StoreUnavailable("away")))
        async with client(made, Policy(predict_s=10, hedge_s=None, backoff_s=0.0, attempts=3, tokens=5)) as calling:
            for _ in range(10):
                with pytest.raises(CallFailed, match="UNAVAILABLE"):
                    await calling.predict("u", ["a"])
        assert len(made.asked) == 10 + 5

    during(2, work)


def test_events_are_sent_again_until_a_server_has_them() -> None:
    async def work(made: Fleet) -> None:
        made.misbehave = dict.fromkeys(range(2), failing(StoreUnavailable("away"), times=2))
        events: list[dict[str, Any]] = [{"event_id": "c1", "user_id": "u"}, {"event_id": "c2", "user_id": "u"}]
        async with client(made) as calling:
            assert await calling.log_clicks(events) == 2
        assert len(made.asked) == 3

    during(2, work)
