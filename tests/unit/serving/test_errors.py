"""Every problem reaches the caller with its own code, whatever its text holds."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from serving.errors import InvalidRequest, ServingError, StoreUnavailable
from serving.proto import adfeast_pb2 as pb
from tests.unit.serving.called import Answering, listening


@pytest.mark.parametrize("text", ["x" * 500_000, "\N{SNOWMAN}" * 100_000, "line\r\n\0" * 10_000, "a\ud800" * 5_000])
@pytest.mark.parametrize("kind", [InvalidRequest, StoreUnavailable])
def test_a_long_text_does_not_change_the_code(kind: type[ServingError], text: str) -> None:
    async def refuse(_request: pb.PredictRequest) -> pb.PredictResponse:
        raise kind(f"user_id is wrong: {text}")

    async def call() -> grpc.aio.AioRpcError:
        async with listening(Answering(refuse)) as (stub, _):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub.Predict(pb.PredictRequest())
            return failed.value

    error = asyncio.run(call())
    assert error.code() == kind.code
    assert (error.details() or "").startswith("user_id is wrong: ")


def test_a_fault_of_ours_is_internal_and_names_the_call() -> None:
    async def fail(_request: pb.PredictRequest) -> pb.PredictResponse:
        raise RuntimeError("nobody's business")

    async def call() -> grpc.aio.AioRpcError:
        async with listening(Answering(fail)) as (stub, _):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub.Predict(pb.PredictRequest())
            return failed.value

    error = asyncio.run(call())
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "Predict failed" in (error.details() or "")
    assert "nobody" not in (error.details() or "")
