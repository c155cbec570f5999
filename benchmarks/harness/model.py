"""Publishes a model of realistic shape with seeded, untrained weights: its answers are worthless, its cost is not."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from adfeast.contract.base_rates import BaseRates
from adfeast.contract.model_names import DEFAULT_FLAVOUR
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from registry.deploy import deploy
from registry.versions import register
from training.export.flavours import export
from training.model.core import Served
from training.model.head import Head
from training.model.kinds.dlrm import dlrm

KIND = "dlrm"
CLICK_RATE = 0.01
DIM, DENSE_LAYERS, OVER_LAYERS, PROJECTION = 16, (128, 64), (128, 64), 16


def publish(settings: Settings, folder: Path, seed: int) -> str:
    """Exports a DLRM for the current feature service into `folder`, registers and deploys it.

    Returns:
        Its Triton name.
    """
    signature = load_definitions(settings).signature(settings.feature_service)
    torch.manual_seed(seed)
    core = dlrm(
        signature, CLICK_RATE, dim=DIM, dense_layers=DENSE_LAYERS, over_layers=OVER_LAYERS, projection=PROJECTION
    )
    export(Served(core, Head()), signature, folder, rates=BaseRates(CLICK_RATE), seed=seed)
    (folder / "metrics.json").write_text(json.dumps({"model": KIND, "models": {}, "parts": {}}))
    (folder / "evaluation.json").write_text(json.dumps({"seed": seed}))
    return deploy(settings, register(settings, folder))


def onnx_file(folder: Path) -> Path:
    """The model that Triton serves, for a run in this process."""
    return folder / "model_repository" / DEFAULT_FLAVOUR / "1" / "model.onnx"
