"""The first model, before any snapshot exists: it answers the click rate of the archived history for every candidate.

It is a logistic regression whose weights are zero, so everything after it (export, registry, Triton, snapshots) is the
same as for a trained one.
"""

from __future__ import annotations

import json
from pathlib import Path

from adfeast.contract.base_rates import BaseRates
from adfeast.contract.signature import Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from training.export.flavours import export
from training.model.core import Served
from training.model.errors import ModelError
from training.model.head import Head
from training.model.kinds.logistic import logistic
from training.model.train import Artifact


def run(settings: Settings, prior: float, out: Path) -> Artifact:
    """Writes the artifact of a model that answers `prior`, a click rate in (0, 1), for the current feature service.

    Raises:
        ModelError: `prior` is not a rate.
    """
    return constant(load_definitions(settings).signature(settings.feature_service), prior, out)


def constant(signature: Signature, prior: float, out: Path) -> Artifact:
    """`run` without the registry."""
    if not 0 < prior < 1:
        raise ModelError(f"the prior click rate must lie between 0 and 1, got {prior}")
    exported = export(Served(logistic(signature, prior), Head()), signature, out, rates=BaseRates(prior))
    metrics = {"model": "prior", "prior": prior, "models": {}, "parts": {}}
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1))
    (out / "evaluation.json").write_text(json.dumps({"prior": prior, "export": exported}, indent=1))
    return Artifact(out, signature, metrics)
