"""Fits one kind of model: chooses on later rows, measures on still later ones, then learns from all of them.

How long to train (or how strong the penalty is) is chosen by rows later than those trained on; the calibration is
fitted to rows later than those, because what was chosen by looks too good there; and the result is measured on the
latest. What is shipped is fitted again in the way that was chosen, to all rows but the newest, which calibrate it: ids
that came up on the last day have weights then. This is progressive validation (Blum, Kalai and Langford, Beating the
Hold-Out, 1999) in one step: what was measured is how well the way of training does on time it has not seen.
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
from training.model import calibrate, evaluate, lbfgs, sharded
from training.model.config import TrainConfig
from training.model.core import Core, Served, predict
from training.model.dataset import Batch, Part, TrainingSet
from training.model.errors import NoClicks
from training.model.head import Head
from training.model.kinds.dlrm import dlrm
from training.model.kinds.logistic import logistic, penalty
from training.sampling import distorted

log = logging.getLogger(__name__)
_Judge = Callable[[nn.Module], float]
KINDS = ("lr", "dlrm")


@dataclass(frozen=True)
class Trained:
    """A model of one kind with its measurements.

    Attributes:
        model: what is shipped, fitted to all rows.
        measured: what was measured, fitted to the earlier rows in the same way.
        fit: how that way was chosen.
        calibration: of what is shipped.
    """

    model: Served
    measured: Served
    evaluation: evaluate.Evaluation
    fit: dict[str, Any]
    calibration: calibrate.Calibration


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
    later = data.read(Part.STOPPING)
    # A loss on clicks alone, or on none, is lowest for the most extreme model: such a part can choose nothing.
    judge = partial(_log_loss, later, _rate(kind, config)) if 0 < later.label.sum() < len(later.label) else None
    core = _start(kind, data, config, seed)
    fitted = _fit_lr(core, data, judge, config) if kind == "lr" else _fit_dlrm(core, data, judge, config, seed)
    measured, _ = _calibrated(core, data, _rate(kind, config), config.calibration)
    found = evaluate.evaluate(
        held_out.label,
        predict(measured, held_out.tensors),
        held_out.request,
        held_out.weight,
        seed=seed,
        replicates=config.replicates,
    )
    log.info("%s: %d training rows, %s", kind, rows, {n: m.value for n, m in found.metrics.items()})
    whole = data.whole()
    core = _start(kind, whole, config, seed)
    if kind == "lr":
        _fit_lr(core, whole, None, config.model_copy(update={"ridges": (fitted["ridge"],)}))
    else:
        _fit_dlrm(core, whole, None, config, seed, epochs=fitted["kept"])
    model, calibration = _calibrated(core, whole, _rate(kind, config), config.calibration)
    return Trained(model, measured, found, fitted, calibration)


def _start(kind: str, data: TrainingSet, config: TrainConfig, seed: int) -> Core:
    """A core that knows the scale of the training part's inputs, and its click rate."""
    torch.manual_seed(seed)
    core = _core(kind, data.signature, data.rate(Part.TRAIN), config)
    core.prep.fit(b.tensors for b in _training(data, config))
    return core


def _calibrated(
    core: Core, data: TrainingSet, rate: float, method: calibrate.Method
) -> tuple[Served, calibrate.Calibration]:
    core.eval()
    rows = data.read(Part.CALIBRATION)
    found = calibrate.fit(predict(core, rows.tensors) + np.log(rate), rows.label, rows.weight, method)
    return Served(core, Head(found.scale, found.shift, rate)).eval(), found


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


def _fit_dlrm(
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
    return config.negative_rate if kind == "dlrm" else 1.0


def _core(kind: str, signature: Signature, base_rate: float, config: TrainConfig) -> Core:
    if kind == "lr":
        return logistic(signature, base_rate)
    rate = float(distorted(base_rate, config.negative_rate))
    return dlrm(
        signature,
        rate,
        dim=config.dim,
        dense_layers=config.dense_layers,
        over_layers=config.over_layers,
        projection=config.projection,
    )
