"""A real gRPC server in the process of the test, whose calls are answered by what the test gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio

from serving.errors import ErrorInterceptor
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc


class Answering(pb_grpc.PredictionServicer):
    """Predict and LogClick by functions of a test."""

    def __init__(self, predict: Callable[[pb.PredictRequest], Awaitable[pb.PredictResponse]]) -> None:
        self._predict = predict
        self.peers: set[str] = set()

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse:  # noqa: N802
        self.peers.add(context.peer())
        return await self._predict(request)

    async def LogClick(self, request: pb.LogEventsRequest, _context: Any) -> pb.LogEventsResponse:  # noqa: N802
        await self._predict(pb.PredictRequest(user_id="click"))
        return pb.LogEventsResponse(accepted=len(request.events))


@asynccontextmanager
async def listening(
    servicer: pb_grpc.PredictionServicer,
    *,
    behind: Sequence[Any] = (),
    options: Any = (),
    health: aio.HealthServicer | None = None,
    started: Callable[[grpc.aio.Server], None] = lambda _: None,
) -> AsyncIterator[tuple[Any, str]]:
    """(stub, address) of a server whose error interceptor stands before others."""
    server = grpc.aio.server(interceptors=[ErrorInterceptor(), *behind], options=list(options))
    pb_grpc.add_PredictionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    if health:
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    started(server)
    try:
        async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            yield pb_grpc.PredictionStub(channel), address  # type: ignore[no-untyped-call]
    finally:
        await server.stop(0)
        await asyncio.sleep(0)
