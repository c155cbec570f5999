"""Trains a kind of model and a logistic regression on one logged training set, measures both, exports the former.

What is measured has not seen the held-out time; what is exported has, see `training.model.fit`.

The logistic regression converges, and is ahead where rows are few: what is shipped is recorded beside it. Which kind
that is, is the caller's word and never chosen here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from adfeast.contract.signature import AD, Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.lake import as_folder
from adfeast.settings import Settings
from training.export.flavours import export
from training.model.config import TrainConfig
from training.model.core import predict
from training.model.dataset import NotLoggedRows, Part, TrainingSet
from training.model.errors import ModelError
from training.model.fit import KINDS, LINEAR, fit
from training.model.incumbent import Incumbent, judge
from training.model.inputs import choose, hold, tell_missing
from training.model.parquet import click_rates, logged

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifact:
    """A folder as `training.export.flavours` describes it, and what metrics.json in it says."""

    path: Path
    signature: Signature
    metrics: dict[str, Any]


def run(
    settings: Settings,
    training_set: str | Path,
    out: Path,
    *,
    model: str = "dlrm",
    config: TrainConfig | None = None,
    seed: int = 0,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    hash_sizes: Mapping[str, int] | None = None,
    not_logged: NotLoggedRows = "leave_out",
    incumbent: Incumbent | None = None,
    service: str | None = None,
) -> Artifact:
    """Trains `model`, beside it logistic regression, and writes the artifact of the former into `out`.

    Args:
        training_set: a folder, or an `s3://` URL of one, which is copied to this machine for as long as it is needed.
        features, drop, hash_sizes: which inputs of the feature service the model takes; see
            `training.model.inputs.choose`.
        service: the feature service; None is the one that is served.
        not_logged: what becomes of rows (and of inputs) that were not logged; see `training.model.dataset`.
        incumbent: the model that serves; the artifact says whether the new one may replace it.

    Raises:
        NoClicks: the training part holds no click, or nothing else.
        ModelError: `model` is not a kind, or the inputs cannot be had.
    """
    definitions = load_definitions(settings)
    current = definitions.signature(service or settings.feature_service)
    wanted = choose(current, features, drop, hash_sizes)
    config = config or TrainConfig()
    with as_folder(settings, str(training_set)) as folder:
        signature, never = hold(wanted, logged(folder), not_logged, named=features or ())
        return train(
            TrainingSet(folder, tell_missing(signature), config.fractions, not_logged),
            out,
            model=model,
            config=config,
            seed=seed,
            never_logged=never,
            incumbent=incumbent,
            ad_key=definitions.entities[AD],
            source=str(training_set),
        )


def train(
    data: TrainingSet,
    out: Path,
    *,
    model: str,
    config: TrainConfig,
    seed: int,
    never_logged: Sequence[str] = (),
    incumbent: Incumbent | None = None,
    ad_key: str = "",
    source: str = "",
) -> Artifact:
    """`run` without the registry.

    Args:
        never_logged: features that the model might have taken, for the record.
        ad_key: the column of ad ids, whose own click rates go with the model; without it only that of all ads does.
        source: where the set was read from, for the record; by default its folder.
    """
    if model not in KINDS:
        raise ModelError(f"model {model!r} is not one of {', '.join(KINDS)}")
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        held_out = data.read(Part.HELD_OUT)
        trained = {kind: fit(kind, data, held_out, config, seed) for kind in dict.fromkeys((LINEAR, model))}
        verdict = None
        if incumbent:
            answers = predict(trained[model].measured, held_out.tensors)
            verdict = judge(incumbent, answers, data, config.margin, seed).to_dict()
            log.info("%s", verdict["reason"])
        rates = click_rates(data.path, ad_key)
        exported = export(trained[model].model, data.signature, out, rates=rates, seed=seed)
    finally:
        torch.set_num_threads(threads)
    parts = {p.name.lower(): dict(zip(("rows", "clicks"), data.count(p), strict=True)) for p in Part}
    metrics = {
        "model": model,
        "models": {kind: {n: asdict(m) for n, m in t.evaluation.metrics.items()} for kind, t in trained.items()},
        "parts": parts,
        "verdict": verdict,
        "inputs": {
            "never_logged": list(never_logged),
            "not_logged_rows": data.not_logged,
            "unread_rows": data.unread,
            "rows_left_out": data.left_out,
        },
    }
    details = {
        "training_set": source or str(data.path),
        "seed": seed,
        "config": config.model_dump(),
        "parts": parts,
        "inputs": metrics["inputs"],
        "boundaries_us": data.boundaries,
        "seen_until_us": data.newest_us,
        "models": {
            kind: {
                "evaluation": t.evaluation.to_dict(),
                "fit": t.fit,
                "calibration": t.calibration.to_dict() | {"compared": t.choice},
            }
            for kind, t in trained.items()
        },
        "export": exported,
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1, allow_nan=False))
    (out / "evaluation.json").write_text(json.dumps(details, indent=1, allow_nan=False))
    return Artifact(out, data.signature, metrics)
