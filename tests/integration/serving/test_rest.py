"""REST beside gRPC on the platform: the same answer from the same stores, and events that Kafka has."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_ID, EVENT_TIME, EventCodec
from adfeast.settings import Settings
from tests.integration.serving.calls import ADS, USERS, Topic, auction, context_of
from tests.integration.serving.test_log_events import event


def post(settings: Settings, path: str, sent: Any) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"http://{settings.rest_address}{path}",
        data=json.dumps(sent).encode(),
        headers={"Content-Type": "application/json", "X-Deadline-Ms": "10000"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def plain(values: Any) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


def test_an_auction_has_the_same_scores_over_both(stub: Any, model: str, settings: Settings, signature: Any) -> None:
    asked = auction(context=context_of(signature), ad_ids=ADS[:50])
    over_grpc = stub.Predict(asked)
    sent = {"user_id": USERS[0], "ad_ids": ADS[:50], "context": plain(asked.context)}
    status, over_rest = post(settings, "/v1/predict/ctr", sent | {"event_time": asked.event_time.ToJsonString()})
    assert (status, over_rest["model_version"]) == (200, over_grpc.model_version)
    found = [(score["ad_id"], score["predicted_ctr"]) for score in over_rest["scores"]]
    assert found == list(zip(ADS[:50], over_grpc.scores, strict=True))


def test_a_click_is_in_kafka_when_it_is_answered(definitions: Definitions, settings: Settings, stub: Any) -> None:
    reading, known_as = Topic(settings, CLICKS), uuid.uuid4().hex
    sent = plain(event(definitions, CLICKS, known_as).fields) | {EVENT_TIME: time.time_ns() // 1_000_000}
    assert post(settings, "/v1/clicks", {"events": [sent]}) == (200, {"status": "ok", "accepted": 1})
    [message] = reading.read(1)
    assert EventCodec(CLICKS, definitions.events[CLICKS]).decode(message.value())[EVENT_ID] == known_as
    status, refused = post(settings, "/v1/clicks", {"events": [sent | {EVENT_ID: ""}]})
    assert (status, refused["error"]["field"]) == (400, f"events[0].{EVENT_ID}")
