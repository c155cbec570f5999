"""Fits one kind of model: chooses on later rows, measures on still later ones, then learns from all of them.

How long to train (or how strong the penalty is) is chosen by rows later than those trained on; the calibration is
fitted to rows later than those, because what was chosen by looks too good there; and the result is measured on the
latest. What is measured is fitted again in the way that was chosen, to all rows before those but the newest, which
calibrate it, and what is shipped likewise to all rows: ids that came up on the last day have weights then. This is
progressive validation (Blum, Kalai and Langford, Beating the Hold-Out, 1999) in one step: what was measured is how well
the way of training does on time it has not seen.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from adfeast.contract.signature import Signature
from training.model import evaluate, lbfgs, progressive, sharded
from training.model.calibrate import Calibration
from training.model.config import TrainConfig
from training.model.core import Core, Served, predict
from training.model.dataset import Batch, Part, TrainingSet
from training.model.errors import NoClicks
from training.model.head import Head
from training.model.kinds.dcnv2 import dcnv2
from training.model.kinds.dlrm import dlrm
from training.model.kinds.logistic import logistic, penalty
from training.sampling import distorted

log = logging.getLogger(__name__)
_Judge = Callable[[nn.Module], float]
KINDS = ("lr", "dlrm", "dcnv2")
LINEAR = "lr"  # converges; the others go through the rows until later ones say stop


@dataclass(frozen=True)
class Trained:
    """A model of one kind with its measurements.

    Attributes:
        model: what is shipped, fitted to all rows.
        measured: what was measured, fitted to the earlier rows in the same way.
        fit: how that way was chosen.
        calibration: of what is shipped; `choice` says how the others did, see `training.model.progressive`.
    """

    model: Served
    measured: Served
    evaluation: evaluate.Evaluation
    fit: dict[str, Any]
    calibration: Calibration
    choice: dict[str, Any]


def fit(kind: str, data: TrainingSet, held_out: Batch, config: TrainConfig, seed: int) -> Trained:
    """Trains one kind, measures it on `held_out`, and fits it again to all rows.

    Raises:
        NoClicks: the training part holds no click, or nothing else.
        TrainingDiverged: a loss is not finite.
    """
    rows, clicks = data.count(Part.TRAIN)
    if not 0 < clicks < rows:
        raise NoClicks(
            f"the training part of {data.path} has {clicks} clicks in {rows} rows: it needs both outcomes; "
            "join labels over a longer time"
        )
    _, fitted = choose(kind, data, config, seed)
    measured, _, _ = _again(kind, data.before_held_out(), fitted, config, seed)
    found = evaluate.evaluate(
        held_out.label,
        predict(measured, held_out.tensors),
        held_out.request,
        held_out.weight,
        seed=seed,
        replicates=config.replicates,
    )
    log.info("%s: %d training rows, %s", kind, rows, {n: m.value for n, m in found.metrics.items()})
    model, calibration, choice = _again(kind, data.whole(), fitted, config, seed)
    log.info("%s: calibrated by %s", kind, calibration.method)
    return Trained(model, measured, found, fitted, calibration, choice)


def choose(kind: str, data: TrainingSet, config: TrainConfig, seed: int) -> tuple[Core, dict[str, Any]]:
    """The core that later rows prefer, and how it was trained: its `ridge`, or how many passes were `kept`."""
    later = data.read(Part.STOPPING)
    # A loss on clicks alone, or on none, is lowest for the most extreme model: such a part can choose nothing.
    judge = partial(_log_loss, later, _rate(kind, config)) if 0 < later.label.sum() < len(later.label) else None
    core = _start(kind, data, config, seed)
    fitted = _fit_linear(core, data, judge, config) if kind == LINEAR else _fit_passes(core, data, judge, config, seed)
    return core, fitted


def _again(
    kind: str, data: TrainingSet, fitted: dict[str, Any], config: TrainConfig, seed: int
) -> tuple[Served, Calibration, dict[str, Any]]:
    """Fits anew as was chosen, and calibrates."""
    core = _start(kind, data, config, seed)
    if kind == LINEAR:
        _fit_linear(core, data, None, config.model_copy(update={"ridges": (fitted["ridge"],)}))
    else:
        _fit_passes(core, data, None, config, seed, epochs=fitted["kept"])
    core.eval()
    rows, rate = data.read(Part.CALIBRATION), _rate(kind, config)
    logit = predict(core, rows.tensors) + np.log(rate)
    calibration, choice = progressive.fit(
        rows, data.times(Part.CALIBRATION), logit, data.signature, config.calibration, config.calibration_slices
    )
    return Served(core, Head(calibration, rate, data.signature)).eval(), calibration, choice


def _start(kind: str, data: TrainingSet, config: TrainConfig, seed: int) -> Core:
    """A core that knows the scale of the training part's inputs, and its click rate."""
    torch.manual_seed(seed)
    core = _core(kind, data.signature, data.rate(Part.TRAIN), config)
    core.prep.fit(b.tensors for b in _training(data, config))
    return core


def _fit_linear(core: Core, data: TrainingSet, judge: _Judge | None, config: TrainConfig) -> dict[str, Any]:
    """Fits with ridge after ridge, the strongest first, until later rows like one less than the one before, and leaves
    `core` as the best was; without a judge, the strongest."""
    batches, tried, lowest = list(_training(data, config)), [], float("inf")
    for ridge in sorted(config.ridges, reverse=True)[: None if judge else 1]:
        fitted = lbfgs.fit(core, batches, penalty, ridge)
        later = judge(core) if judge else None
        tried.append({"ridge": ridge, **fitted, "later": later})
        if later is not None and later >= lowest:
            break  # each fit begins where the one before ended, and a weaker penalty only leads further from it
        best, lowest, state = ridge, later or lowest, copy.deepcopy(core.state_dict())
    core.load_state_dict(state)
    return {"ridge": best, "ridges": tried}


def _fit_passes(
    core: Core, data: TrainingSet, judge: _Judge | None, config: TrainConfig, seed: int, epochs: int = 1
) -> dict[str, Any]:
    """Passes until the judge has enough; without one, `epochs` of them."""

    def passes(n: int) -> Iterator[Batch]:
        own = seed * config.max_epochs + n  # each pass has an order, and negatives, of its own
        return data.batches(Part.TRAIN, config.batch_size, own, negative_rate=config.negative_rate)

    return sharded.fit(
        core,
        passes,
        judge,
        sharded.Stopping(config.max_epochs if judge else epochs, config.patience, config.enough_steps),
        table_lr=config.table_lr,
        dense_lr=config.dense_lr,
        weight_decay=config.weight_decay,
    )


def _log_loss(rows: Batch, rate: float, module: nn.Module) -> float:
    return evaluate.log_loss(rows.label, predict(module, rows.tensors) + np.log(rate), rows.weight)


def _training(data: TrainingSet, config: TrainConfig) -> Iterator[Batch]:
    return data.batches(Part.TRAIN, max(config.batch_size, 65536))


def _rate(kind: str, config: TrainConfig) -> float:
    return 1.0 if kind == LINEAR else config.negative_rate


def _core(kind: str, signature: Signature, base_rate: float, config: TrainConfig) -> Core:
    if kind == LINEAR:
        return logistic(signature, base_rate)
    rate = float(distorted(base_rate, config.negative_rate))
    sizes: dict[str, Any] = {
        "dim": config.dim,
        "dense_layers": config.dense_layers,
        "over_layers": config.over_layers,
        "projection": config.projection,
    }
    if kind == "dcnv2":
        return dcnv2(signature, rate, layers=config.cross_layers, rank=config.cross_rank, **sizes)
    return dlrm(signature, rate, **sizes)
