"""Whatever MLflow and Triton answer, the follower is told in one way: nothing is known to have changed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from adfeast.contract.model_names import PRODUCTION_TAG
from adfeast.settings import Settings
from serving.clients.http import HttpPool, Response
from serving.errors import ModelUnavailable
from serving.model.pointer import ModelPointer

PRODUCTION = json.dumps({"registered_model": {"tags": [{"key": PRODUCTION_TAG, "value": "ctr-1"}]}}).encode()
BODIES = [b"", b"<html>", b"null", b"[]", b"3", b'"text"', b"\xff", b"{", b'{"registered_model": null}']
MLFLOW = [*BODIES, b'{"registered_model": []}', b'{"registered_model": {"tags": [1]}}']
TRITON = [*BODIES[:-1], b'[{"nom": 1}]', b"[1]", b"[null]"]
TRITON.remove(b"[]")


class Says(HttpPool):
    """Answers each path as it is told, without a connection."""

    def __init__(self, **bodies: bytes) -> None:
        super().__init__("http://nowhere:1")
        self.bodies = bodies

    async def request(self, parts: Any, *_: Any) -> Response:
        path = b"".join(parts).split(b" ")[1].decode()
        return Response(200, {}, next(body for name, body in self.bodies.items() if name in path))


def look(mlflow: bytes, triton: bytes, config: bytes = b"{}") -> Any:
    async def ask() -> Any:
        pointer = ModelPointer(Settings(), Says(index=triton, ready=b"", config=config))
        pointer._mlflow = Says(mlflow=mlflow)
        return await pointer.look()

    return asyncio.run(ask())


def test_what_is_said_properly_is_taken() -> None:
    assert look(PRODUCTION, b"[]").production == "ctr-1"


@pytest.mark.parametrize("body", MLFLOW)
def test_an_answer_of_mlflow_that_is_none_changes_nothing(body: bytes) -> None:
    with pytest.raises(ModelUnavailable, match="MLflow"):
        look(body, b"[]")


@pytest.mark.parametrize("body", TRITON)
def test_a_list_of_models_that_is_none_changes_nothing(body: bytes) -> None:
    with pytest.raises(ModelUnavailable, match="Triton"):
        look(PRODUCTION, body)


@pytest.mark.parametrize("config", BODIES)
def test_a_model_that_cannot_be_understood_is_left_out_and_named(config: bytes) -> None:
    from adfeast.contract.model_names import REGISTERED_MODEL

    name = f"{REGISTERED_MODEL}-7"
    found = look(PRODUCTION, json.dumps([{"name": name}]).encode(), config)
    assert found.loaded == {}
    assert any(name in problem for problem in found.problems)


def test_a_server_that_starts_without_mlflow_takes_the_model_of_most_others() -> None:
    async def ask() -> None:
        pointer = ModelPointer(Settings(), Says(index=b"[]"), lambda: ["", "ctr-2", "ctr-1", "ctr-2"])
        pointer._mlflow = Says(mlflow=b"")
        found = await pointer.look()
        assert found.production == "ctr-2"
        assert "MLflow" in found.problems[0]
        pointer._mlflow = Says(mlflow=PRODUCTION)
        assert (await pointer.look()).production == "ctr-1"
        pointer._mlflow = Says(mlflow=b"")
        with pytest.raises(ModelUnavailable, match="MLflow"):  # it knows better than the others by now
            await pointer.look()

    asyncio.run(ask())


def test_a_server_that_starts_alone_without_mlflow_knows_no_model() -> None:
    with pytest.raises(ModelUnavailable, match="MLflow"):
        look(b"", b"[]")
