"""Makes JSON of the answers of adfeast.proto: the proto's names, but for scores, which stand beside their ads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from serving.proto import adfeast_pb2 as pb

SCORES = pb.PredictResponse.DESCRIPTOR.fields_by_name["scores"].name
AD, SCORE = "ad_id", "predicted_ctr"  # names that the proto has not: it goes by position
STATUS_OK = {"status": "ok"}


def of_prediction(ad_ids: Sequence[str], response: pb.PredictResponse) -> str:
    """The answer of one auction; a score is written with all the digits it has, so that it is the same number."""
    scores = [{AD: ad, SCORE: score} for ad, score in zip(ad_ids, response.scores, strict=True)]
    rest = pb.PredictResponse()
    rest.CopyFrom(response)
    rest.ClearField(SCORES)
    return json.dumps({SCORES: scores} | {k: v for k, v in _members(rest).items() if k != SCORES}, allow_nan=False)


def of_events(response: pb.LogEventsResponse) -> str:
    """The answer to events that Kafka has."""
    return json.dumps(STATUS_OK | _members(response))


def of_status(response: pb.StatusResponse) -> str:
    """What the server says of itself."""
    return json.dumps(_members(response))


def _members(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found
