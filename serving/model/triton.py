"""What the server says to Triton besides inference: which models are loaded, and what was each made for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from adfeast.contract.base_rates import BaseRates
from adfeast.contract.model_names import (
    INPUTS_PARAMETER,
    OUTPUT,
    PRIOR_PARAMETER,
    REGISTERED_MODEL,
    SIGNATURE_PARAMETER,
)
from adfeast.contract.signature import DTYPES, TENSORS, Signature
from serving.clients.http import HttpError, HttpPool, Response
from serving.errors import ModelUnavailable
from serving.features.values import Memo

_TYPES = {"float32": "FP32", "int64": "INT64"}
_HEADS_KEPT = 1024


class Model:
    """A loaded Triton model; one call takes at most `max_batch` rows.

    Attributes:
        heads: rows to everything of an inference call that stands before the tensors; the same for each request of so
            many rows.
        rates: what is answered when the model cannot be asked; the ads' own come later than the prior, and None stands
            for a model that was exported without.
    """

    def __init__(
        self,
        name: str,
        signature: Signature,
        max_batch: int,
        authority: bytes,
        rates: BaseRates | None = None,
        login: bytes = b"",
    ) -> None:
        self.name, self.signature, self.max_batch, self.rates = name, signature, max_batch, rates
        self.roles = [role for role in TENSORS if signature.width(role)]
        self.heads: Memo[int, bytes] = Memo(
            lambda rows: self._head(rows, authority.decode(), login.decode()), _HEADS_KEPT
        )

    def _head(self, n: int, authority: str, login: str) -> bytes:
        widths = {r: self.signature.width(r) for r in self.roles}
        sizes = {r: n * widths[r] * np.dtype(DTYPES[r]).itemsize for r in self.roles}
        inputs = [
            {
                "name": TENSORS[r],
                "shape": [n, widths[r]],
                "datatype": _TYPES[DTYPES[r]],
                "parameters": {"binary_data_size": sizes[r]},
            }
            for r in self.roles
        ]
        body = json.dumps(
            {
                "inputs": inputs,
                "outputs": [{"name": OUTPUT, "parameters": {"binary_data": True}}],
                "parameters": {SIGNATURE_PARAMETER: self.signature.hash},
            },
            separators=(",", ":"),
        ).encode()
        lines = (
            f"POST /v2/models/{self.name}/infer HTTP/1.1\r\nHost: {authority}\r\n{login}"
            f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {len(body)}\r\n"
            f"Content-Length: {len(body) + sum(sizes.values())}\r\n\r\n"
        )
        return lines.encode() + body


async def loaded(http: HttpPool) -> list[str]:
    """Names of the click models that Triton has ready.

    Raises:
        ModelUnavailable: Triton does not answer.
    """
    body = b'{"ready":true}'
    head = b"POST /v2/repository/index HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n"
    answer = await _ask(http, [head % (http.authority, http.login, len(body)) + body])
    if answer.status != 200:
        raise ModelUnavailable(f"Triton does not list its models: HTTP {answer.status} {answer.body[:200]!r}")
    listed = _json(answer, "the list of its models")
    try:
        names = [str(entry["name"]) for entry in listed]
    except (KeyError, TypeError) as error:
        raise ModelUnavailable(f"Triton lists its models as nobody knows it: {answer.body[:200]!r}") from error
    return sorted(name for name in names if name.startswith(f"{REGISTERED_MODEL}-"))


async def describe(http: HttpPool, name: str) -> Model:
    """Asks Triton for a model.

    Raises:
        ModelUnavailable: Triton does not answer, the model is not ready, or does not say what it was made for.
    """
    ready = await _get(http, f"/v2/models/{name}/ready")
    if ready.status != 200:
        raise ModelUnavailable(f"model {name!r} is not loaded in Triton (HTTP {ready.status}): deploy it again")
    answer = await _get(http, f"/v2/models/{name}/config")
    if answer.status != 200:
        raise ModelUnavailable(
            f"Triton does not show the config of {name!r}: HTTP {answer.status} {answer.body[:200]!r}"
        )
    config = _json(answer, f"the config of {name!r}")
    try:
        signature = Signature.from_json(config["parameters"][INPUTS_PARAMETER]["string_value"])
        said = config["parameters"].get(SIGNATURE_PARAMETER, {}).get("string_value", "")
        max_batch = int(config.get("max_batch_size", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelUnavailable(
            f"the config of model {name!r} does not hold its signature ({error!r}): export and deploy it again"
        ) from error
    if said != signature.hash:
        raise ModelUnavailable(f"model {name!r} answers for signature {said}, but its inputs have {signature.hash}")
    return Model(name, signature, max_batch, http.authority, _prior(config), http.login)


def _prior(config: Any) -> BaseRates | None:
    try:
        prior = float(config["parameters"][PRIOR_PARAMETER]["string_value"])
    except (KeyError, TypeError, ValueError):
        return None
    return BaseRates(prior) if 0 < prior < 1 else None


def _json(answer: Response, what: str) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise ModelUnavailable(f"Triton answers something else than JSON for {what}: {answer.body[:200]!r}") from error


async def _get(http: HttpPool, path: str) -> Response:
    head = b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n"
    return await _ask(http, [head % (path.encode(), http.authority, http.login)])


async def _ask(http: HttpPool, parts: list[bytes]) -> Response:
    try:
        return await http.request(parts)
    except (HttpError, TimeoutError) as error:
        raise ModelUnavailable(f"Triton at {http.authority.decode()} does not answer: {error or 'timeout'}") from error
