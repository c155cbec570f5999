"""What the JSON of a call may not be."""

from __future__ import annotations

from typing import Any

from adfeast.contract.definitions import Definitions
from tests.unit.serving.fronts import Both, during

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
        found = [await opened.rest.raw(path, body) for path, body, _ in WRONG]
        assert (await opened.rest.raw("/v1/predict/ctr", {"user_id": "u", "ad_ids": ["a", "b"]}))[0] == 200
        return found

    for (status, answer), (_, body, part) in zip(during(definitions, work), WRONG, strict=True):
        assert status == 400, body[:50]
        assert answer["error"]["code"] == "INVALID_ARGUMENT"
        assert part in answer["error"]["message"]
