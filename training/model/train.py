"""Trains logistic regression and a DLRM on one logged training set, measures both on held-out time, exports one.

Which of them is shipped is the caller's word and never chosen here; both are recorded.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat
from torch import nn

from adfeast.contract.signature import AD, Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from training.export.flavours import export
from training.model import calibrate, evaluate, lbfgs, sharded
from training.model.core import Core, Served, predict
from training.model.dataset import Batch, NotLoggedRows, Part, TrainingSet
from training.model.errors import ModelError, NoClicks
from training.model.head import Head
from training.model.inputs import choose, hold
from training.model.kinds.dlrm import dlrm
from training.model.kinds.logistic import logistic, penalty
from training.model.parquet import click_rates, logged

log = logging.getLogger(__name__)
_Judge = Callable[[nn.Module], float]
KINDS = ("lr", "dlrm")


class TrainConfig(BaseModel):
    """How to train; the defaults suit a small set with few clicks.

    Attributes:
        fractions: shares of the rows, by time, for training, calibration and held-out.
        negative_rate: share of the training rows without a click that the DLRM sees; the head corrects for it.
        ridges: weights of the logistic regression's penalty to choose from, in clicks' worth of evidence. Like the
            DLRM's number of passes, the calibration part (later than what was trained on) chooses by log loss.
        dim, dense_layers, over_layers, projection: the DLRM's sizes; see `training.model.kinds.dlrm`.
        max_epochs, patience, enough_steps: when the DLRM stops; see `training.model.sharded.Stopping`.
        replicates: bootstrap draws behind each interval.
        threads: CPU threads; results repeat bitwise for the same number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    negative_rate: float = Field(default=1.0, gt=0, le=1)
    batch_size: int = Field(default=128, ge=1)
    ridges: tuple[PositiveFloat, ...] = Field(default=(1.0, 5.0, 25.0, 125.0, 625.0), min_length=1)
    dim: int = Field(default=8, ge=4, multiple_of=4)
    dense_layers: tuple[int, ...] = (32,)
    over_layers: tuple[int, ...] = Field(default=(32,), min_length=1)
    projection: int = Field(default=8, ge=1)
    dense_lr: float = Field(default=1e-3, gt=0)
    table_lr: float = Field(default=0.02, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_epochs: int = Field(default=30, ge=1)
    patience: int = Field(default=3, ge=1)
    enough_steps: int = Field(default=5000, ge=1)
    replicates: int = Field(default=200, ge=1)
    threads: int = Field(default=1, ge=1)


@dataclass(frozen=True)
class Artifact:
    """A folder as `training.export.flavours` describes it, and what metrics.json in it says."""

    path: Path
    signature: Signature
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """A model of one kind with its measurements."""

    model: Served
    evaluation: evaluate.Evaluation
    fit: dict[str, Any]
    calibration: calibrate.Calibration


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
) -> Artifact:
    """Trains both kinds and writes the artifact of `model` into `out`.

    Args:
        features, drop, hash_sizes: which inputs of the current feature service the model takes; see
            `training.model.inputs.choose`.
        not_logged: what becomes of rows (and of inputs) that were not logged; see `training.model.dataset`.

    Raises:
        NoClicks: the training part holds no click, or nothing else.
        ModelError: `model` is not a kind, or the inputs cannot be had.
    """
    definitions = load_definitions(settings)
    current = definitions.signature(settings.feature_service)
    wanted = choose(current, features, drop, hash_sizes)
    signature, never = hold(wanted, logged(training_set), not_logged, named=features or ())
    config = config or TrainConfig()
    data = TrainingSet(training_set, signature, config.fractions, not_logged)
    ad_key = definitions.entities[AD]
    return train(data, out, model=model, config=config, seed=seed, never_logged=never, ad_key=ad_key)


def train(
    data: TrainingSet,
    out: Path,
    *,
    model: str,
    config: TrainConfig,
    seed: int,
    never_logged: Sequence[str] = (),
    ad_key: str = "",
) -> Artifact:
    """`run` without the registry.

    Args:
        never_logged: features that the model might have taken, for the record.
        ad_key: the column of ad ids, whose own click rates go with the model; without it only that of all ads does.
    """
    if model not in KINDS:
        raise ModelError(f"model {model!r} is not one of {', '.join(KINDS)}")
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        held_out = data.read(Part.HELD_OUT)
        trained = {kind: fit(kind, data, held_out, config, seed) for kind in KINDS}
        rates = click_rates(data.path, ad_key)
        exported = export(trained[model].model, data.signature, out, rates=rates, seed=seed)
    finally:
        torch.set_num_threads(threads)
    parts = {p.name.lower(): dict(zip(("rows", "clicks"), data.count(p), strict=True)) for p in Part}
    metrics = {
        "model": model,
        "models": {kind: {n: asdict(m) for n, m in t.evaluation.metrics.items()} for kind, t in trained.items()},
        "parts": parts,
        "inputs": {
            "never_logged": list(never_logged),
            "not_logged_rows": data.not_logged,
            "unread_rows": data.unread,
            "rows_left_out": data.left_out,
        },
    }
    details = {
        "training_set": str(data.path),
        "seed": seed,
        "config": config.model_dump(),
        "parts": parts,
        "inputs": metrics["inputs"],
        "boundaries_us": data.boundaries,
        "models": {
            kind: {"evaluation": t.evaluation.to_dict(), "fit": t.fit, "calibration": asdict(t.calibration)}
            for kind, t in trained.items()
        },
        "export": exported,
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1, allow_nan=False))
    (out / "evaluation.json").write_text(json.dumps(details, indent=1, allow_nan=False))
    return Artifact(out, data.signature, metrics)


def fit(kind: str, data: TrainingSet, held_out: Batch, config: TrainConfig, seed: int) -> Trained:
    """Trains one kind on the training part, calibrates it on the next and measures it on `held_out`."""
    rows, clicks = data.count(Part.TRAIN)
    if not 0 < clicks < rows:
        raise NoClicks(
            f"the training part of {data.path} has {clicks} clicks in {rows} rows: it needs both outcomes; "
            "join labels over a longer time"
        )
    torch.manual_seed(seed)
    core, rate = _core(kind, data.signature, clicks / rows, config), config.negative_rate if kind == "dlrm" else 1.0
    core.prep.fit(b.tensors for b in _training(data, config))
    later = data.read(Part.CALIBRATION)
    # A loss on clicks alone, or on none, is lowest for the most extreme model: such a part can choose nothing.
    judge = partial(_log_loss, later, rate) if 0 < later.label.sum() < len(later.label) else None
    fitted = _fit_lr(core, data, judge, config) if kind == "lr" else _fit_dlrm(core, data, judge, config, seed)
    core.eval()
    logit = predict(core, later.tensors) + np.log(rate)
    calibration = calibrate.fit(logit, later.label, later.weight)
    model = Served(core, Head(calibration.scale, calibration.shift, rate)).eval()
    measured = evaluate.evaluate(
        held_out.label,
        predict(model, held_out.tensors),
        held_out.request,
        held_out.weight,
        seed=seed,
        replicates=config.replicates,
    )
    log.info("%s: %d training rows, %s", kind, rows, {n: m.value for n, m in measured.metrics.items()})
    return Trained(model, measured, fitted, calibration)


def _fit_lr(core: Core, data: TrainingSet, judge: _Judge | None, config: TrainConfig) -> dict[str, Any]:
    """Fits with each ridge, the strongest first, and leaves `core` as the best was; without a judge, the strongest."""
    batches, tried, lowest = list(_training(data, config)), [], float("inf")
    for ridge in sorted(config.ridges, reverse=True)[: None if judge else 1]:
        fitted = lbfgs.fit(core, batches, penalty, ridge)
        later = judge(core) if judge else None
        tried.append({"ridge": ridge, **fitted, "later": later})
        if later is None or later < lowest:
            best, lowest, state = ridge, later or lowest, copy.deepcopy(core.state_dict())
    core.load_state_dict(state)
    return {"ridge": best, "ridges": tried}


def _fit_dlrm(core: Core, data: TrainingSet, judge: _Judge | None, config: TrainConfig, seed: int) -> dict[str, Any]:
    def passes(n: int) -> Iterator[Batch]:
        own = seed * config.max_epochs + n  # each pass has an order, and negatives, of its own
        return data.batches(Part.TRAIN, config.batch_size, own, negative_rate=config.negative_rate)

    return sharded.fit(
        core,
        passes,
        judge,
        sharded.Stopping(config.max_epochs, config.patience, config.enough_steps),
        table_lr=config.table_lr,
        dense_lr=config.dense_lr,
        weight_decay=config.weight_decay,
    )


def _log_loss(rows: Batch, rate: float, module: nn.Module) -> float:
    return evaluate.log_loss(rows.label, predict(module, rows.tensors) + np.log(rate), rows.weight)


def _training(data: TrainingSet, config: TrainConfig) -> Iterator[Batch]:
    return data.batches(Part.TRAIN, max(config.batch_size, 65536))


def _core(kind: str, signature: Signature, base_rate: float, config: TrainConfig) -> Core:
    if kind == "lr":
        return logistic(signature, base_rate)
    rate = base_rate / (base_rate + (1 - base_rate) * config.negative_rate)
    return dlrm(
        signature,
        rate,
        dim=config.dim,
        dense_layers=config.dense_layers,
        over_layers=config.over_layers,
        projection=config.projection,
    )
