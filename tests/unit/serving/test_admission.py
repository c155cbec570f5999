"""Overload is refused at once and counted, and the caller is told when to come back."""

from __future__ import annotations

import asyncio
import json

import grpc
import pytest

from serving.admission import PAUSE_MS, Admission
from serving.errors import PUSHBACK
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc
from tests.unit.serving.called import Answering, listening


class Held:
    """Holds calls until the test lets them go."""

    def __init__(self) -> None:
        self.open, self.inside = asyncio.Event(), 0

    async def answer(self, request: pb.PredictRequest) -> pb.PredictResponse:
        self.inside += 1
        await self.open.wait()
        return pb.PredictResponse(model_version=request.user_id)


async def until(inside: int, held: Held) -> None:
    while held.inside < inside:
        await asyncio.sleep(0.001)


def test_calls_beyond_the_limit_are_shed_with_a_pause_and_counted() -> None:
    async def run() -> None:
        held, admission = Held(), Admission({"Predict": 2})
        async with listening(Answering(held.answer), behind=[admission]) as (stub, _):
            admitted = [asyncio.ensure_future(stub.Predict(pb.PredictRequest(user_id=str(i)))) for i in range(2)]
            await until(2, held)
            with pytest.raises(grpc.aio.AioRpcError) as shed:
                await stub.Predict(pb.PredictRequest(user_id="too many"), timeout=5)
            assert shed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "2 calls of Predict are under way" in (shed.value.details() or "")
            pause = int(dict(shed.value.trailing_metadata())[PUSHBACK])
            assert PAUSE_MS[0] <= pause <= PAUSE_MS[1]
            assert admission.shed == {"Predict": 1}
            held.open.set()
            await stub.LogClick(pb.LogEventsRequest())  # which is not limited here
            assert [a.model_version for a in await asyncio.gather(*admitted)] == ["0", "1"]
            assert (await stub.Predict(pb.PredictRequest(user_id="later"))).model_version == "later"

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_call_that_is_given_up_leaves_its_place() -> None:
    async def run() -> None:
        held = Held()
        async with listening(Answering(held.answer), behind=[Admission({"Predict": 1})]) as (stub, _):
            for _ in range(3):
                with pytest.raises(grpc.aio.AioRpcError) as late:
                    await stub.Predict(pb.PredictRequest(), timeout=0.2)
                assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
                await asyncio.sleep(0.05)
            held.open.set()
            await stub.Predict(pb.PredictRequest(), timeout=5)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_client_with_a_retry_policy_comes_back_by_itself() -> None:
    policy = {
        "maxAttempts": 5,
        "initialBackoff": "10s",  # so that only our hint can make it in time
        "maxBackoff": "10s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})

    async def run() -> None:
        held, admission = Held(), Admission({"Predict": 1})
        async with listening(Answering(held.answer), behind=[admission]) as (stub, address):
            first = asyncio.ensure_future(stub.Predict(pb.PredictRequest()))
            await until(1, held)
            options = [("grpc.service_config", config), ("grpc.enable_http_proxy", 0)]
            async with grpc.aio.insecure_channel(address, options=options) as channel:
                patient = pb_grpc.PredictionStub(channel)  # type: ignore[no-untyped-call]
                second = asyncio.ensure_future(patient.Predict(pb.PredictRequest(), timeout=5))
                while not admission.shed["Predict"]:
                    await asyncio.sleep(0.001)
                held.open.set()
                await asyncio.gather(first, second)

    asyncio.run(asyncio.wait_for(run(), 20))
