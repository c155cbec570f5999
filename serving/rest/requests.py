"""Makes the messages of adfeast.proto of JSON; which fields there are is said by the proto, not here.

A value of a context or an event is a JSON text, number or boolean, or the message Value as protobuf writes it in JSON:
`{"integer": "1234567890123456789"}` for numbers that JavaScript would round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from adfeast.errors import SHOWN_CHARACTERS, shown
from serving.errors import InvalidRequest
from serving.predict.ingest import SLICE
from serving.proto import adfeast_pb2 as pb
from serving.rest.json_text import JsonText, malformed

CONTEXT = pb.PredictRequest.DESCRIPTOR.fields_by_name["context"].name
EVENTS = pb.LogEventsRequest.DESCRIPTOR.fields_by_name["events"].name
_FIELDS = pb.PredictRequest.DESCRIPTOR.fields_by_name
_KINDS = "a text, a number or a boolean"


def predict_request(body: bytes, aliases: Mapping[str, str]) -> pb.PredictRequest:
    """The request of one auction.

    Args:
        aliases: other name of a request feature to its own.

    Raises:
        InvalidRequest: the body is no such request.
    """
    message = pb.PredictRequest()
    for name, value in JsonText(body).whole().items():
        if name not in _FIELDS:
            raise malformed(f"{shown(name)} is none of its names: {', '.join(_FIELDS)}")
        if name == CONTEXT:
            _put_all(CONTEXT, message.context, _context(value, aliases))
        else:
            _set(message, name, value)
    return message


async def log_request(body: bytes, most: int) -> pb.LogEventsRequest:
    """Events: `{"events": [...]}`, or the columns of a single one. Others have their turn meanwhile.

    Args:
        most: how many are looked at: one that is too many for a call is not made a message.

    Raises:
        InvalidRequest: the body is no such request.
    """
    text, message, single = JsonText(body), pb.LogEventsRequest(), dict[str, Any]()
    many = False
    for name in text.members():
        if name != EVENTS or not text.begins("["):
            single[name] = text.value()
            continue
        many = True
        for i, event in enumerate(text.items()):
            if i % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            added = message.events.add()
            if i < most:
                _put_all(f"{EVENTS}[{i}]", added.fields, event)
    if many and single:
        raise malformed(f"{shown(next(iter(single)))} stands beside {EVENTS!r}, where nothing else may")
    if not many:
        _put_all(f"{EVENTS}[0]", message.events.add().fields, single)
    return message


def _context(value: Any, aliases: Mapping[str, str]) -> Any:
    if not isinstance(value, dict):
        return value
    found = {aliases.get(name, name): v for name, v in value.items()}
    if len(found) != len(value):
        both = next(alias for alias, name in aliases.items() if alias in value and name in value)
        raise malformed(f"{CONTEXT} has {both!r} and {aliases[both]!r}, which are one")
    return found


def _set(message: pb.PredictRequest, name: str, value: Any) -> None:
    field = _FIELDS[name]
    try:
        if field.message_type is not None:
            json_format.ParseDict({name: value}, message)
        elif field.is_repeated:
            if not isinstance(value, list):
                raise TypeError("it is no list")
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    except (TypeError, ValueError, json_format.ParseError) as error:
        kind = field.message_type.name if field.message_type is not None else "text"
        many = "a list of " if field.is_repeated else ""
        raise InvalidRequest(
            f"{name} is {shown(value)}", f"send {many}{kind}, or leave it out", field=name, value=shown(value)
        ) from error


def _put_all(where: str, fields: Any, values: Any) -> None:
    if not isinstance(values, dict):
        raise InvalidRequest(f"{where} is {shown(values)}", "send an object", field=where, value=shown(values))
    for name, value in values.items():
        try:
            _put(fields[name], value)
        except (TypeError, ValueError, json_format.ParseError) as error:
            at = f"{where}.{name[:SHOWN_CHARACTERS]}"
            raise InvalidRequest(
                f"{where}: {shown(name)} is {shown(value)}", f"send {_KINDS}", field=at, value=shown(value)
            ) from error


def _put(message: pb.Value, value: Any) -> None:
    if isinstance(value, bool):
        message.flag = value
    elif isinstance(value, int):
        message.integer = value
    elif isinstance(value, float):
        message.number = value
    elif isinstance(value, str):
        message.text = value
    elif isinstance(value, dict):
        json_format.ParseDict(value, message)
    elif value is not None:  # which stays a value of no kind, and is refused as one
        raise TypeError(type(value))
