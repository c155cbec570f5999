"""A Triton model whose score is a checksum of the bytes it was given, so that a test can tell what the model saw.

With it comes the MLflow version that points at it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.model_names import (
    INPUTS_PARAMETER,
    OUTPUT,
    PRIOR_PARAMETER,
    PRODUCTION_TAG,
    REGISTERED_MODEL,
    SIGNATURE_PARAMETER,
    triton_model,
)
from adfeast.contract.signature import DTYPES, TENSORS, Signature
from adfeast.contract.tensors import Tensors
from adfeast.settings import Settings

PRIOR = 0.03125
MODEL = """
import zlib

import numpy as np
import triton_python_backend_utils as pb_utils

NAMES = {names!r}
SEED = {seed}


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        tensors = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in NAMES]
        rows = [b"".join(t[i].tobytes() for t in tensors) for i in range(len(tensors[0]))]
        scores = np.array([[(zlib.crc32(row, SEED) >> 8) / 2**24] for row in rows], np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor({output!r}, scores)])
"""
TYPES = {"float32": "TYPE_FP32", "int64": "TYPE_INT64"}


def scores(tensors: Tensors, seed: int) -> NDArray[np.float32]:
    """What the model answers for these inputs, float32 [B]."""
    blocks = [tensors.of(role) for role in TENSORS if tensors.of(role).shape[1]]
    rows = [b"".join(block[i].tobytes() for block in blocks) for i in range(len(tensors.dense))]
    return np.array([(zlib.crc32(row, seed) >> 8) / 2**24 for row in rows], np.float32)


def write_model(
    repository: Path, name: str, signature: Signature, signature_hash: str, seed: int, max_batch: int
) -> None:
    roles = [role for role in TENSORS if signature.width(role)]
    inputs = ", ".join(
        f'{{ name: "{TENSORS[r]}" data_type: {TYPES[DTYPES[r]]} dims: [ {signature.width(r)} ] }}' for r in roles
    )
    config = f"""
        name: "{name}" backend: "python" max_batch_size: {max_batch}
        input [ {inputs} ] output [ {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [ 1 ] }} ]
        instance_group [ {{ kind: KIND_CPU count: 1 }} ] dynamic_batching {{ }}
        parameters {{ key: "{SIGNATURE_PARAMETER}" value {{ string_value: "{signature_hash}" }} }}
        parameters {{ key: "{PRIOR_PARAMETER}" value {{ string_value: "{PRIOR}" }} }}
        parameters {{ key: "{INPUTS_PARAMETER}" value {{ string_value: {json.dumps(signature.to_json())} }} }}
    """
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(
        MODEL.format(names=[TENSORS[r] for r in roles], seed=seed, output=OUTPUT).lstrip()
    )
    (folder / "config.pbtxt").write_text(config)


def post(url: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"{}")  # type: ignore[no-any-return]


class Registry:
    """What a deployment does to MLflow and Triton, with models that cost nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._url = settings, f"{settings.mlflow_url}/api/2.0/mlflow"

    def publish(self, signature: Signature, seed: int, signature_hash: str | None = None, max_batch: int = 4096) -> str:
        """Registers a version, loads its Triton model and points production at it; returns the model's name."""
        try:
            post(f"{self._url}/registered-models/create", {"name": REGISTERED_MODEL})
        except urllib.error.HTTPError as error:
            if error.code != 400:  # it exists
                raise
        source = f"s3://echo/{seed}"  # nothing is read from there
        body = {"name": REGISTERED_MODEL, "source": source}
        version = post(f"{self._url}/model-versions/create", body)["model_version"]["version"]
        name = triton_model(version)
        write_model(
            self._settings.triton_repository, name, signature, signature_hash or signature.hash, seed, max_batch
        )
        post(f"http://{self._settings.triton_http}/v2/repository/models/{name}/load", {})
        self.point(name)
        return name

    def unload(self, name: str) -> None:
        """Takes a Triton model away."""
        post(f"http://{self._settings.triton_http}/v2/repository/models/{name}/unload", {})

    def production(self) -> str | None:
        try:
            with urllib.request.urlopen(
                f"{self._url}/registered-models/get?name={REGISTERED_MODEL}", timeout=10
            ) as answer:
                tags = json.loads(answer.read())["registered_model"].get("tags", [])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return next((t["value"] for t in tags if t["key"] == PRODUCTION_TAG), None)

    def point(self, name: str | None) -> None:
        """Points production at a Triton model, or at none."""
        body = {"name": REGISTERED_MODEL, "key": PRODUCTION_TAG}
        if name is not None:
            post(f"{self._url}/registered-models/set-tag", body | {"value": name})
        elif self.production() is not None:
            post(f"{self._url}/registered-models/delete-tag", body, "DELETE")
