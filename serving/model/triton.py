"""What the server says to Triton besides inference: is a model loaded, and what was it made for."""

from __future__ import annotations

import json
from dataclasses import dataclass

from adfeast.contract.model_names import SIGNATURE_PARAMETER
from serving.clients.http import HttpError, HttpPool, Response
from serving.errors import ModelUnavailable


@dataclass(frozen=True)
class Model:
    """A loaded Triton model; one call takes at most `max_batch` rows."""

    name: str
    signature_hash: str
    max_batch: int


async def describe(http: HttpPool, name: str) -> Model:
    """Asks Triton for a model.

    Raises:
        ModelUnavailable: Triton does not answer, or the model is not ready.
    """
    ready = await _get(http, f"/v2/models/{name}/ready")
    if ready.status != 200:
        raise ModelUnavailable(f"model {name!r} is not loaded in Triton (HTTP {ready.status}): deploy it again")
    answer = await _get(http, f"/v2/models/{name}/config")
    if answer.status != 200:
        raise ModelUnavailable(
            f"Triton does not show the config of {name!r}: HTTP {answer.status} {answer.body[:200]!r}"
        )
    config = json.loads(answer.body)
    parameter = config.get("parameters", {}).get(SIGNATURE_PARAMETER, {})
    return Model(name, parameter.get("string_value", ""), int(config.get("max_batch_size", 0)))


async def _get(http: HttpPool, path: str) -> Response:
    try:
        return await http.get(path)
    except (HttpError, TimeoutError) as error:
        raise ModelUnavailable(f"Triton at {http.authority.decode()} does not answer: {error or 'timeout'}") from error
