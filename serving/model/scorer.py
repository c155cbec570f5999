"""Scores the candidates of a request with one raw HTTP call to Triton: binary tensors on a kept connection.

tritonclient costs 0.27 ms of CPU a call, this 0.04, and Triton itself gets cheaper without gRPC. A request of more rows
than the model takes at once is cut into calls that run side by side.
"""

from __future__ import annotations

import asyncio
import json

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.model_names import OUTPUT, SIGNATURE_PARAMETER
from adfeast.contract.signature import DTYPES, TENSORS, Signature
from adfeast.contract.snapshots import Tensors
from serving.clients.http import HttpError, HttpPool
from serving.errors import ModelUnavailable
from serving.features.values import Memo
from serving.model.triton import Model

_TYPES = {"float32": "FP32", "int64": "INT64"}
_HEADS_KEPT = 1024


class Scorer:
    """Sends the tensors of one signature to whichever model is current."""

    def __init__(self, http: HttpPool, signature: Signature) -> None:
        self._http = http
        self._hash = signature.hash
        self._roles = [role for role in TENSORS if signature.width(role)]
        self._widths = {role: signature.width(role) for role in self._roles}
        self._heads: Memo[tuple[str, int], bytes] = Memo(lambda key: self._head(*key), _HEADS_KEPT)

    async def score(self, model: Model, tensors: Tensors) -> NDArray[np.float32]:
        """Click probabilities, float32 [B].

        Raises:
            ModelUnavailable: Triton does not answer, refuses, or answers something else than B finite numbers.
        """
        n = len(tensors.dense)
        step = model.max_batch or n
        if n <= step:
            return await self._call(model, tensors, 0, n)
        cuts = [(at, min(at + step, n)) for at in range(0, n, step)]
        return np.concatenate(await asyncio.gather(*(self._call(model, tensors, a, b) for a, b in cuts)))

    async def _call(self, model: Model, tensors: Tensors, start: int, stop: int) -> NDArray[np.float32]:
        blocks = [tensors.of(role)[start:stop].data.cast("B") for role in self._roles]
        try:
            answer = await self._http.request([self._heads[model.name, stop - start], *blocks])
        except (HttpError, TimeoutError) as error:
            raise ModelUnavailable(f"Triton does not answer for {model.name!r}: {error or 'timeout'}") from error
        if answer.status != 200:
            reason = answer.body[:300].decode(errors="replace")
            raise ModelUnavailable(f"model {model.name!r} did not score: HTTP {answer.status} {reason}")
        head = int(answer.headers.get(b"inference-header-content-length", len(answer.body)))
        scores = np.frombuffer(answer.body, np.float32, offset=head)
        if len(scores) != stop - start or not np.isfinite(scores).all():
            raise ModelUnavailable(
                f"model {model.name!r} answered {len(scores)} scores for {stop - start} rows, or no numbers"
            )
        return scores

    def _head(self, name: str, n: int) -> bytes:
        """Everything before the tensors; the same for each request of n rows."""
        sizes = {r: n * self._widths[r] * np.dtype(DTYPES[r]).itemsize for r in self._roles}
        inputs = [
            {
                "name": TENSORS[r],
                "shape": [n, self._widths[r]],
                "datatype": _TYPES[DTYPES[r]],
                "parameters": {"binary_data_size": sizes[r]},
            }
            for r in self._roles
        ]
        body = json.dumps(
            {
                "inputs": inputs,
                "outputs": [{"name": OUTPUT, "parameters": {"binary_data": True}}],
                "parameters": {SIGNATURE_PARAMETER: self._hash},
            },
            separators=(",", ":"),
        ).encode()
        lines = (
            f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: {self._http.authority.decode()}\r\n"
            f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {len(body)}\r\n"
            f"Content-Length: {len(body) + sum(sizes.values())}\r\n\r\n"
        )
        return lines.encode() + body
