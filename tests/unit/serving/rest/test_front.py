"""What only callers over HTTP see: names, forms, statuses, pages."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from grpc_health.v1 import health_pb2
from openapi_spec_validator import validate

from adfeast.contract.definitions import Definitions
from adfeast.errors import SettingsError
from adfeast.settings import Settings
from serving.api import SERVICE
from serving.rest.front import RestFront
from tests.unit.serving.fronts import Both, during

ASKED = {"user_id": "u", "ad_ids": ["a", "b"], "context": {"slot": "top"}}
CLICK = {"event_id": "e", "user_name": "u", "price": 1.5}


@pytest.fixture
def aliased(definitions: Definitions) -> Definitions:
    """Callers may give `hour` as `local_hour`."""
    features = tuple(
        replace(f, alias="local_hour") if f.name == "hour" else f for f in definitions.request_sources["auction"]
    )
    return replace(definitions, request_sources={"auction": features})


def test_an_answer_has_the_names_of_the_contract_and_all_that_grpc_tells(definitions: Definitions) -> None:
    answer = during(definitions, lambda opened: opened.rest.post("/v1/predict/ctr", ASKED))
    assert [score.keys() for score in answer["scores"]] == [{"ad_id", "predicted_ctr"}] * 2
    assert [score["ad_id"] for score in answer["scores"]] == ["a", "b"]
    assert answer["model_version"] == "m1"
    assert answer["latency_ms"] > 0
    assert (answer["rung"], answer["unknown_user"], answer["unknown_ads"]) == ("RUNG_FRESH", True, [0, 1])
    assert len(answer["attempt_id"]) == len(answer["request_id"]) == 32


def test_a_request_feature_is_known_by_its_alias_and_by_its_name_but_not_by_both(aliased: Definitions) -> None:
    async def work(opened: Both) -> list[Any]:
        found = []
        for context in ({"local_hour": 7}, {"hour": 7}, {"local_hour": 7, "hour": 7}):
            found.append(await opened.rest.raw("/v1/predict/ctr", ASKED | {"context": context}))
        opened.server.publisher.flush()
        snapshots = [opened.server.live.codec.decode(message) for message in opened.server.kept.messages]
        assert [7 in snapshot.tensors.ids[0] for snapshot in snapshots] == [True, True]
        return found

    by_alias, by_name, twice = during(aliased, work)
    assert (by_alias[0], by_name[0], twice[0]) == (200, 200, 400)
    assert "'local_hour' and 'hour', which are one" in twice[1]["error"]["message"]


def test_a_number_that_javascript_would_round_may_be_a_text_with_its_kind(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[int]:
        for hour in (1234567890123456789, {"integer": "1234567890123456789"}):
            await opened.rest.post("/v1/predict/ctr", ASKED | {"context": {"hour": hour}})
        opened.server.publisher.flush()
        snapshots = map(opened.server.live.codec.decode, opened.server.kept.messages)
        return [1234567890123456789 in s.tensors.ids[0].tolist() for s in snapshots]

    assert during(definitions, work) == [True, True]


def test_a_single_event_needs_no_list(definitions: Definitions) -> None:
    async def work(opened: Both) -> Any:
        answer = await opened.rest.post("/v1/clicks", CLICK)
        assert len(opened.kafka.messages) == 1
        return answer

    assert during(definitions, work) == {"status": "ok", "accepted": 1}


def test_a_problem_names_code_field_value_and_what_to_do(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[Any]:
        bad_price = {"events": [CLICK, CLICK | {"price": "x"}]}
        return [
            await opened.rest.raw("/v1/predict/ctr", ASKED | {"context": {"hour": 1.5}}),
            await opened.rest.raw("/v1/clicks", bad_price),
            await opened.rest.raw("/v1/predict/ctr", ASKED | {"user_id": 7}),
        ]

    context, event, user = during(definitions, work)
    assert context == (
        400,
        {
            "error": {
                "code": "INVALID_ARGUMENT",
                "message": "context 'hour' is int64: send integer, got number 1.5",
                "field": "context.hour",
                "value": "number 1.5",
                "todo": "correct the request",
            }
        },
    )
    assert (event[1]["error"]["field"], event[1]["error"]["value"]) == ("events[1].price", "'x'")
    error = user[1]["error"]
    assert (error["field"], error["value"], error["todo"]) == ("user_id", "7", "send text, or leave it out")


def test_what_http_refuses_has_the_same_shape(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[Any]:
        return [
            await opened.rest.raw("/v1/nothing", {}),
            await opened.rest.raw("/v1/clicks", method="GET"),
            await opened.rest.raw("/v1/clicks", b"x" * 70_000),
            await opened.rest.raw("/v1/clicks", {}, Content_Type="text/plain"),
            *[await opened.rest.raw("/v1/clicks", CLICK, X_Deadline_Ms=d) for d in ("0", "-1", "1.5", "x", "9" * 30)],
        ]

    found = during(definitions, work, settings=Settings(rest_address="127.0.0.1:0", max_request_kb=64))
    assert [status for status, _ in found] == [404, 405, 413, 415, 400, 400, 400, 400, 400]
    for _, answer in found:
        assert answer["error"].keys() == {"code", "message", "field", "value", "todo"}
        assert answer["error"]["todo"]
    assert found[4][1]["error"]["field"] == "X-Deadline-Ms"


def test_a_body_without_a_length_is_cut_at_the_limit(definitions: Definitions) -> None:
    async def work(opened: Both) -> int:
        async def endless() -> Any:
            for _ in range(100):
                yield b" " * 10_000

        headers = {"Content-Type": "application/json"}
        async with opened.rest.session.post(opened.rest.url + "/v1/clicks", data=endless(), headers=headers) as answer:
            return answer.status

    settings = Settings(rest_address="127.0.0.1:0", max_request_kb=64)
    assert during(definitions, work, settings=settings) == 413


def test_a_caller_that_goes_away_leaves_its_place(definitions: Definitions) -> None:
    async def work(opened: Both) -> None:
        opened.kafka.silent = True
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(opened.rest.post("/v1/clicks", CLICK), 0.1)
            await asyncio.sleep(0.05)
        opened.kafka.silent = False
        assert (await opened.rest.post("/v1/clicks", CLICK))["accepted"] == 1

    during(definitions, work, LogClick=1)


def test_health_follows_readiness_and_status_is_that_of_grpc(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[Any]:
        found = [await opened.rest.raw("/v1/health", method="GET"), await opened.rest.raw("/v1/status", method="GET")]
        await opened.health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
        return [*found, await opened.rest.raw("/v1/health", method="GET")]

    ready, status, leaving = during(definitions, work)
    assert ready == (200, {"status": "SERVING"})
    assert leaving == (503, {"status": "NOT_SERVING"})
    assert (status[1]["model_version"], status[1]["state"]) == ("m1", "STATE_READY")


def test_a_fault_of_ours_is_told_apart_and_no_id_is_logged(
    definitions: Definitions, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(opened: Both) -> Any:
        for _ in range(2):
            await opened.rest.post("/v1/predict/ctr", ASKED | {"user_id": "secret-user"})
        await opened.rest.raw("/v1/secret-user", {})
        await opened.rest.raw("/v1/predict/ctr", ASKED | {"user_id": "secret-user", "ad_ids": []})
        opened.server.live = None  # type: ignore[assignment]
        return await opened.rest.raw("/v1/predict/ctr", ASKED | {"user_id": "secret-user"})

    with caplog.at_level(logging.DEBUG, logger="aiohttp"), caplog.at_level(logging.INFO):
        status, answer = during(definitions, work)
    assert (status, answer["error"]["code"]) == (500, "INTERNAL")
    assert "/v1/predict/ctr failed" in caplog.text
    assert "secret-user" not in caplog.text
    assert "NoneType" not in answer["error"]["message"]


def test_the_document_is_openapi_and_says_what_this_server_takes(aliased: Definitions) -> None:
    async def work(opened: Both) -> tuple[Any, str]:
        _, document = await opened.rest.raw("/v1/openapi.json", method="GET")
        async with opened.rest.session.get(opened.rest.url + "/v1/docs") as answer:
            assert answer.content_type == "text/html"
            return document, await answer.text()

    document, page = during(aliased, work)
    validate(document)
    asked = document["paths"]["/v1/predict/ctr"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(asked["properties"]["context"]["properties"]) == {"slot", "local_hour", "bid"}
    assert asked["properties"]["ad_ids"]["maxItems"] == Settings().max_candidates
    many, one = document["paths"]["/v1/clicks"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert one["required"] == ["event_id", "user_name", "price"]
    assert many["properties"]["events"]["items"] == one
    assert "local_hour" in page
    assert "POST <code>/v1/clicks</code>" in page


def test_an_address_that_is_taken_is_named(definitions: Definitions) -> None:
    async def work(opened: Both) -> None:
        settings = Settings(rest_address=f"127.0.0.1:{opened.rest.url.rpartition(':')[2]}")
        second = RestFront(None, opened.admission, None, None, settings, grace_s=0)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match=r"cannot listen on rest_address='127\.0\.0\.1:"):
            await second.start()

    during(definitions, work)


def test_a_stop_waits_for_the_calls_under_way_and_takes_no_new_ones(definitions: Definitions) -> None:
    async def work(opened: Both) -> None:
        opened.kafka.silent = True
        slow = asyncio.ensure_future(opened.rest.post("/v1/clicks", CLICK))
        while not opened.kafka.messages:
            await asyncio.sleep(0.001)
        stopping = asyncio.ensure_future(opened.front.stop())
        await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as other:
            with pytest.raises(aiohttp.ClientConnectorError):
                await other.get(opened.rest.url + "/v1/health")
        assert not stopping.done()
        opened.kafka.confirm()
        assert (await slow)["status"] == "ok"
        await stopping

    during(definitions, work)
