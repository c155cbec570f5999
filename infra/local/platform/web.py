"""Requests to parts that speak HTTP on this machine."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from infra.local.errors import NotReady

# A proxy of the user's network must not be asked for 127.0.0.1.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, body: dict[str, Any] | None = None, timeout_s: float = 3, authorization: str = "") -> bytes:
    """The answer to a GET, or to a POST of `body` as JSON.

    Args:
        authorization: the value of the header; empty for none.

    Raises:
        NotReady: no answer within `timeout_s`, or one that is no success.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": authorization} if authorization else {})
    request = urllib.request.Request(url, data, headers)  # noqa: S310 (our own address)
    try:
        with _DIRECT.open(request, timeout=timeout_s) as answer:
            content: bytes = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise NotReady(f"{url}: {error}") from error
    return content
