"""What only callers over HTTP see: names, forms, statuses, pages; and what their JSON may not be."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
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
from tests.unit.serving.fronts import Both, both

ASKED = {"user_id": "u", "ad_ids": ["a", "b"], "context": {"slot": "top"}}
CLICK = {"event_id": "e", "user_name": "u", "price": 1.5}


@pytest.fixture
def aliased(definitions: Definitions) -> Definitions:
    """Callers may give `hour` as `local_hour`."""
    features = tuple(
        replace(f, alias="local_hour") if f.name == "hour" else f for f in definitions.request_sources["auction"]
    )
    return replace(definitions, request_sources={"auction": features})


def during(definitions: Definitions, work: Callable[[Both], Awaitable[Any]], **more: Any) -> Any:
    async def run() -> Any:
        async with both(definitions, **more) as opened:
            return await work(opened)

    return asyncio.run(asyncio.wait_for(run(), 20))


async def raw(
    opened: Both, path: str, data: Any = None, method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any]]:
    """(status, JSON) of an answer."""
    headers = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    body = data if isinstance(data, bytes) or data is None else json.dumps(data).encode()
    async with opened.rest.session.request(method, opened.rest.url + path, data=body, headers=headers) as answer:
        return answer.status, await answer.json()


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
            found.append(await raw(opened, "/v1/predict/ctr", ASKED | {"context": context}))
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
            await raw(opened, "/v1/predict/ctr", ASKED | {"context": {"hour": 1.5}}),
            await raw(opened, "/v1/clicks", bad_price),
            await raw(opened, "/v1/predict/ctr", ASKED | {"user_id": 7}),
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


WRONG: list[tuple[str, bytes, str]] = [
    ("/v1/predict/ctr", b"", "Expecting value"),
    ("/v1/predict/ctr", b"[]", "[] is no object"),
    ("/v1/predict/ctr", b'{"user_id":"u"', "delimiter"),
    ("/v1/predict/ctr", b'{"user_id":"u"} x', "something follows"),
    ("/v1/predict/ctr", b'{"user_id":"u","user_id":"v"}', "'user_id' stands there twice"),
    ("/v1/predict/ctr", b'{"context":{"bid":NaN}}', "NaN is no JSON number"),
    ("/v1/predict/ctr", b'{"user_id":"\xff"}', "not UTF-8 at byte 12"),
    ("/v1/predict/ctr", b"[" * 100_000, "nested too deeply"),
    ("/v1/predict/ctr", b"1" * 10_000, "digits"),
    ("/v1/predict/ctr", b'{"colour":1}', "'colour' is none of its names: user_id, ad_ids"),
    ("/v1/predict/ctr", b'{"ad_ids":"ab"}', "ad_ids is 'ab'; send a list of text"),
    ("/v1/predict/ctr", b'{"ad_ids":[1]}', "ad_ids is [1]"),
    ("/v1/predict/ctr", b'{"user_id":null}', "user_id is None"),
    ("/v1/predict/ctr", rb'{"user_id":"\ud800"}', "user_id is '\\ud800'"),
    ("/v1/predict/ctr", b'{"event_time":"yesterday"}', "send Timestamp"),
    ("/v1/predict/ctr", b'{"context":[]}', "context is []; send an object"),
    ("/v1/predict/ctr", b'{"context":{"hour":99999999999999999999}}', "'hour' is 99999999999999999999; send a text"),
    ("/v1/predict/ctr", b'{"context":{"hour":[1]}}', "'hour' is [1]; send a text, a number or a boolean"),
    ("/v1/predict/ctr", b'{"context":{"hour":{"colour":1}}}', "'hour' is {'colour': 1}"),
    ("/v1/clicks", b"", "'{' is missing at character 0"),
    ("/v1/clicks", b"[]", "'{' is missing"),
    ("/v1/clicks", b'{"events":[{},]}', "Expecting value"),
    ("/v1/clicks", b'{"events":[{}', "']' is missing"),
    ("/v1/clicks", b'{"events":[{}]', "'}' is missing"),
    ("/v1/clicks", b'{"events":[{}]}]', "something follows"),
    ("/v1/clicks", b'{"events":[],"events":[]}', "stands there twice"),
    ("/v1/clicks", b'{"events":[{}],"price":1}', "'price' stands beside 'events'"),
    ("/v1/clicks", b'{"events":[1]}', "events[0] is 1; send an object"),
    ("/v1/clicks", b"{7:1}", "7 is no name"),
    ("/v1/clicks", b"{}", "event_id (string) is missing"),
]


def test_json_that_is_none_is_refused_by_name_and_the_connection_goes_on(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[Any]:
        found = [await raw(opened, path, body) for path, body, _ in WRONG]
        assert (await raw(opened, "/v1/predict/ctr", ASKED))[0] == 200
        return found

    for (status, answer), (_, body, part) in zip(during(definitions, work), WRONG, strict=True):
        assert status == 400, body[:50]
        assert answer["error"]["code"] == "INVALID_ARGUMENT"
        assert part in answer["error"]["message"]


def test_what_http_refuses_has_the_same_shape(definitions: Definitions) -> None:
    async def work(opened: Both) -> list[Any]:
        return [
            await raw(opened, "/v1/nothing", {}),
            await raw(opened, "/v1/clicks", method="GET"),
            await raw(opened, "/v1/clicks", b"x" * 70_000),
            await raw(opened, "/v1/clicks", {}, Content_Type="text/plain"),
            *[await raw(opened, "/v1/clicks", CLICK, X_Deadline_Ms=d) for d in ("0", "-1", "1.5", "x", "9" * 30)],
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
        found = [await raw(opened, "/v1/health", method="GET"), await raw(opened, "/v1/status", method="GET")]
        await opened.health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
        return [*found, await raw(opened, "/v1/health", method="GET")]

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
        await raw(opened, "/v1/secret-user", {})
        await raw(opened, "/v1/predict/ctr", ASKED | {"user_id": "secret-user", "ad_ids": []})
        opened.server.live = None  # type: ignore[assignment]
        return await raw(opened, "/v1/predict/ctr", ASKED | {"user_id": "secret-user"})

    with caplog.at_level(logging.DEBUG, logger="aiohttp"), caplog.at_level(logging.INFO):
        status, answer = during(definitions, work)
    assert (status, answer["error"]["code"]) == (500, "INTERNAL")
    assert "/v1/predict/ctr failed" in caplog.text
    assert "secret-user" not in caplog.text
    assert "NoneType" not in answer["error"]["message"]


def test_the_document_is_openapi_and_says_what_this_server_takes(aliased: Definitions) -> None:
    async def work(opened: Both) -> tuple[Any, str]:
        _, document = await raw(opened, "/v1/openapi.json", method="GET")
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
