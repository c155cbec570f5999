"""What a test asks of a Triton that models were deployed to, and models that cost little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput

from adfeast import fleet
from adfeast.contract.model_names import OUTPUT, REGISTERED_MODEL, SIGNATURE_PARAMETER
from adfeast.contract.signature import TENSORS, Signature
from adfeast.contract.tensors import Tensors
from adfeast.settings import Settings
from registry import versions as models
from training.model.bootstrap import constant


def ask(
    triton: InferenceServerClient, name: str, rows: Tensors, signature: Signature, claimed: str | None = None
) -> np.ndarray:
    inputs = []
    for role, tensor in TENSORS.items():
        if signature.width(role):
            array = rows.of(role)
            inputs.append(InferInput(tensor, array.shape, "FP32" if array.dtype == np.float32 else "INT64"))
            inputs[-1].set_data_from_numpy(np.ascontiguousarray(array))
    answer = triton.infer(name, inputs, parameters={SIGNATURE_PARAMETER: claimed or signature.hash})
    return answer.as_numpy(OUTPUT)


def loaded(triton: InferenceServerClient) -> set[str]:
    ready = {m["name"] for m in triton.get_model_repository_index() if m.get("state") == "READY"}
    return {name for name in ready if name.startswith(f"{REGISTERED_MODEL}-")}


def told(settings: Settings) -> set[str]:
    """What the fleet is told to be loaded."""
    return {m.name for m in fleet.loaded_models(settings)}


def folders(settings: Settings) -> set[str]:
    return {p.name for p in settings.triton_repository.glob(f"{REGISTERED_MODEL}-*")}


def leftovers(settings: Settings) -> list[Path]:
    """Files next to the repository that a deploy should not have left."""
    incoming = settings.triton_repository.with_name(settings.triton_repository.name + ".incoming")
    return [p for p in incoming.rglob("*") if p.is_file()]


def registered(settings: Settings, signature: Signature, rate: float, folder: Path) -> int:
    """A version that answers `rate`, which tells it from the others."""
    return models.register(settings, constant(signature, rate, folder / f"rate-{rate}").path)
