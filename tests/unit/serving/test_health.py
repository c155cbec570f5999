"""A server says apart whether it serves, is ready, and is degraded; also when nobody asks it anything."""

from __future__ import annotations

import asyncio

import pytest
from grpc_health.v1 import health_pb2

from adfeast.contract.definitions import Definitions
from serving.api import SERVICE
from serving.budget import Budget
from serving.health import FULL, Health
from tests.unit.serving.predict.in_memory import Server

SERVING, NOT = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(server: Server) -> Health:
    breakers = [*server.tiers.breakers.values(), server.ladder.breaker]
    return Health(lambda: server.live, server.ladder, breakers, Budget(0.01, 0.01, 0.01), server.clock)


def said(health: Health, looks: int = 1) -> list[int]:
    """Serving, ready and not degraded, after some looks."""

    async def ask() -> list[int]:
        for _ in range(looks):
            await health.look()
        requests = [health_pb2.HealthCheckRequest(service=name) for name in ("", SERVICE, FULL)]
        return [(await health.servicer.Check(r, None)).status for r in requests]

    return asyncio.run(ask())


@pytest.fixture
def server(definitions: Definitions) -> Server:
    return Server(definitions, {"m1": definitions.signature("service")}, "m1")


def test_without_a_model_it_serves_and_is_not_ready(definitions: Definitions) -> None:
    health = health_of(Server(definitions, {}, ""))
    assert said(health) == [SERVING, NOT, NOT]
    assert health.state == "starting"


@pytest.mark.parametrize("part", ["redis", "dynamodb", "scorer"])
def test_what_is_away_makes_it_degraded_without_any_request_and_leaves_it_ready(server: Server, part: str) -> None:
    health = health_of(server)
    assert (said(health), health.state, health.away) == ([SERVING] * 3, "ready", ())
    getattr(server, part).stalled = True
    assert said(health, 5) == [SERVING, SERVING, NOT]
    assert health.state == "degraded"
    [away] = health.away
    assert away.startswith({"scorer": "triton"}.get(part, part) + " is away: ")


def test_a_model_that_answers_no_numbers_is_no_green_one(server: Server) -> None:
    health = health_of(server)
    server.scorer.refused = [0]
    assert said(health) == [SERVING, SERVING, NOT]
    assert health.away == ("m1 answers no numbers",)
    server.scorer.refused = []
    assert said(health) == [SERVING] * 3


def test_a_server_that_leaves_does_not_say_again_that_it_serves(server: Server) -> None:
    health = health_of(server)
    assert said(health) == [SERVING] * 3
    asyncio.run(health.servicer.enter_graceful_shutdown())  # as serving.listening.leave does
    assert said(health, 2) == [NOT] * 3
