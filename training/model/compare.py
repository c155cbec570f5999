"""Two models on the same rows: how much the log loss of one is above the other's, with an interval.

The rows are paired, so what is hard about a row for both cancels out: the interval is that of the difference, and often
ten times narrower than those of the two losses. Requests are drawn, as `training.model.evaluate` draws them, because
the rows of a request are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.model.errors import TrainingSetError
from training.model.evaluate import Metric, row_losses


@dataclass(frozen=True)
class Comparison:
    """A model less another on the same rows: below 0 it is the better one.

    Attributes:
        log_loss: difference of the mean log losses in nats.
        normalized_entropy: the same by the log loss of always saying the rows' click rate, so that it reads alike
            whatever that rate is; None where the rows hold one outcome only.
    """

    rows: int
    requests: int
    clicks: int
    log_loss: Metric
    normalized_entropy: Metric


def compare(
    label: NDArray[Any],
    new: NDArray[Any],
    old: NDArray[Any],
    request: NDArray[np.int64],
    weight: NDArray[Any] | None = None,
    *,
    seed: int,
    replicates: int = 1000,
) -> Comparison:
    """Compares probabilities [N] of two models for clicks [N], by request [N] (any integers).

    Raises:
        TrainingSetError: no rows, a probability outside [0, 1], or a label that is neither 0 nor 1.
    """
    y, p, q = (np.asarray(a, np.float64) for a in (label, new, old))
    w = np.ones_like(y) if weight is None else np.asarray(weight, np.float64)
    fit = all(((a >= 0) & (a <= 1)).all() for a in (p, q))
    if not len(y) or not np.isin(y, (0, 1)).all() or not fit:
        raise TrainingSetError(f"{len(y)} rows to compare on need labels of 0 or 1 and probabilities in [0, 1]")
    _, codes = np.unique(request, return_inverse=True)
    count = int(codes.max()) + 1
    columns = (w * (row_losses(y, p) - row_losses(y, q)), w * y, w)
    sums = np.stack([np.bincount(codes, c, count) for c in columns], axis=1)  # of each request
    random = np.random.default_rng(seed)
    drawn = np.array([random.poisson(1.0, count) @ sums for _ in range(replicates)])
    whole, draws = _differences(sums.sum(0)[None])[0], _differences(drawn)
    metrics = (_metric(value, own) for value, own in zip(whole, draws.T, strict=True))
    return Comparison(len(y), count, int(y.sum()), *metrics)


def _differences(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of log loss and of normalized entropy, [R, 2], by summed difference, clicks and weight, [R, 3]; NaN undefined."""
    loss, clicks, total = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, rate = loss / total, clicks / total
        entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
        return np.stack([mean, mean / entropy], axis=1)


def _metric(value: float, draws: NDArray[np.float64]) -> Metric:
    defined = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(defined):
        return Metric(None, None, None)
    low, high = np.percentile(defined, (2.5, 97.5))
    return Metric(float(value), float(low), float(high))
