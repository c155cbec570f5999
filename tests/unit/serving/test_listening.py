"""What one connection may hold, and how a server leaves: with a real gRPC server and a real client."""

from __future__ import annotations

import asyncio
import resource
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio

from adfeast.settings import Settings
from serving.api import SERVICE
from serving.listening import leave, options, take_all_connections
from serving.proto import adfeast_pb2 as pb
from tests.unit.serving.called import Answering, listening

STATUS = health_pb2.HealthCheckResponse


async def at_once(request: pb.PredictRequest) -> pb.PredictResponse:
    return pb.PredictResponse(model_version=request.user_id)


def test_a_call_beyond_the_size_is_refused_and_the_connection_goes_on() -> None:
    async def run() -> None:
        service = Answering(at_once)
        async with listening(service, options=options(Settings(max_request_kb=64))) as (stub, _):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Predict(pb.PredictRequest(user_id="x" * 70_000))
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (await stub.Predict(pb.PredictRequest(user_id="x" * 60_000))).model_version
            assert len(service.peers) == 1

    asyncio.run(asyncio.wait_for(run(), 20))


def test_an_old_connection_is_replaced_and_no_call_is_lost() -> None:
    async def run() -> None:
        service = Answering(at_once)
        async with listening(service, options=options(Settings(max_connection_age_s=0.2))) as (stub, _):
            begin = time.monotonic()
            while time.monotonic() - begin < 1.0:
                await stub.Predict(pb.PredictRequest(), wait_for_ready=True)
                await asyncio.sleep(0.002)
        assert len(service.peers) >= 2

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_server_says_that_it_leaves_goes_on_answering_and_ends_with_nothing_lost() -> None:
    async def run() -> None:
        health, servers, let_go = aio.HealthServicer(), [], asyncio.Event()
        await health.set(SERVICE, STATUS.SERVING)

        async def answer(request: pb.PredictRequest) -> pb.PredictResponse:
            if request.user_id == "slow":
                await let_go.wait()
            return pb.PredictResponse(model_version=request.user_id)

        answering = listening(Answering(answer), health=health, started=servers.append)
        async with answering as (stub, address), grpc.aio.insecure_channel(address) as channel:
            watch = health_pb2_grpc.HealthStub(channel)
            asked = health_pb2.HealthCheckRequest(service=SERVICE)
            assert (await watch.Check(asked)).status == STATUS.SERVING
            slow = asyncio.ensure_future(stub.Predict(pb.PredictRequest(user_id="slow")))
            await stub.Predict(pb.PredictRequest())
            leaving = asyncio.ensure_future(leave([lambda: servers[0].stop(5.0)], health, 0.5))
            await asyncio.sleep(0.1)
            assert (await watch.Check(asked)).status == STATUS.NOT_SERVING
            assert (await stub.Predict(pb.PredictRequest(user_id="new"))).model_version == "new"
            await asyncio.sleep(0.6)
            with pytest.raises(grpc.aio.AioRpcError) as gone:
                await stub.Predict(pb.PredictRequest(), timeout=5)
            assert gone.value.code() == grpc.StatusCode.UNAVAILABLE
            assert not leaving.done()  # it waits for the slow one
            let_go.set()
            assert (await slow).model_version == "slow"
            await leaving

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_server_takes_as_many_connections_as_the_system_lets_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] - 1, before[1]))
    try:
        take_all_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
