"""What a caller over HTTP is told of a problem: one JSON shape, and a status that follows from gRPC's code."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import grpc
from aiohttp import web

from serving.errors import Overloaded, ServingError, details

_Code = grpc.StatusCode
# As google/rpc/code.proto has them, so that gateways and clients know them.
STATUS = {
    _Code.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    _Code.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    _Code.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    _Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    _Code.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    _Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
# What only HTTP knows: the code, and what to do.
OF_HTTP = {
    HTTPStatus.NOT_FOUND: (_Code.NOT_FOUND, "GET /v1/openapi.json lists the paths"),
    HTTPStatus.METHOD_NOT_ALLOWED: (_Code.UNIMPLEMENTED, "use the method that the header Allow names"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (_Code.INVALID_ARGUMENT, "send less in one call (max_request_kb)"),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (_Code.INVALID_ARGUMENT, "send JSON with Content-Type: application/json"),
}


def of_error(error: ServingError) -> web.Response:
    """The answer to a call that failed; the message is the one that gRPC's status has."""
    shape: dict[str, Any] = {
        "code": error.code.name,
        "message": details(str(error)),
        "field": error.field,
        "value": error.value,
        "todo": error.todo,
    }
    headers = {}
    if isinstance(error, Overloaded):
        shape["retry_ms"] = error.retry_ms
        headers["Retry-After"] = str(-(-error.retry_ms // 1000))  # whole seconds, as HTTP knows it
    return _response(STATUS[error.code], shape, headers)


def of_http(error: web.HTTPException) -> web.Response:
    """The answer to what is no call: a path or a method that is not there, a body that is too large."""
    code, todo = OF_HTTP.get(HTTPStatus(error.status), (_Code.INVALID_ARGUMENT, ""))
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    shape = {"code": code.name, "message": error.reason, "field": "", "value": "", "todo": todo}
    return _response(HTTPStatus(error.status), shape, headers)


def _response(status: HTTPStatus, shape: dict[str, Any], headers: dict[str, str]) -> web.Response:
    text = json.dumps({"error": shape})
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)
