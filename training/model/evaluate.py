"""How good a click model is, with intervals: ranking (AUC), log loss, normalized entropy and calibration (PCOC, ECE).

Intervals are percentiles of a Poisson bootstrap (Chamandy et al., Estimating Uncertainty for Massive Data Streams,
2012) that draws requests, because the candidates of one request are not independent; that of ECE is made otherwise, see
`training.model.calibration_error`.
A value that is not defined on the data (an AUC without a click, say) is None and its reason stands in `undefined`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.model.calibration_error import covariance, estimate
from training.model.errors import TrainingSetError

Floats = NDArray[np.float64]
_BOOTSTRAPPED = ("auc", "log_loss", "normalized_entropy", "pcoc")
NAMES = (*_BOOTSTRAPPED, "ece")


@dataclass(frozen=True)
class Metric:
    """A value with its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Evaluation:
    """How a model did on one part of a training set.

    Attributes:
        metrics: by name: `auc` (0.5 is chance), `log_loss` (nats), `normalized_entropy` (log loss by that of the mean
            click rate; below 1 is better than knowing only the rate), `pcoc` (predicted clicks by clicks; 1 is
            calibrated), `ece` (mean |predicted - observed| over bins of equal mass, without what chance adds to it).
        reliability: one entry a bin: `predicted` and `observed` rate, `rows`, `clicks`.
        undefined: metric to why it has no value or interval.
    """

    rows: int
    requests: int
    clicks: int
    metrics: dict[str, Metric]
    reliability: list[dict[str, float]]
    undefined: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data without NaN, for JSON."""
        return asdict(self)


def evaluate(
    label: NDArray[Any],
    probability: NDArray[Any],
    request: NDArray[np.int64],
    weight: NDArray[Any] | None = None,
    *,
    seed: int,
    replicates: int = 200,
    bins: int = 15,
) -> Evaluation:
    """Evaluates predictions [N] of clicks [N] by request [N] (any integers).

    Raises:
        TrainingSetError: no rows, a probability outside [0, 1], or a label that is neither 0 nor 1.
    """
    y, p = np.asarray(label, np.float64), np.asarray(probability, np.float64)
    w = np.ones_like(y) if weight is None else np.asarray(weight, np.float64)
    if not len(y) or not np.isin(y, (0, 1)).all() or not ((p >= 0) & (p <= 1)).all():
        raise TrainingSetError(f"{len(y)} rows to evaluate need labels of 0 or 1 and probabilities in [0, 1]")
    measure = _Measure(y, p, bins)
    values = measure(w)
    _, codes = np.unique(request, return_inverse=True)
    random = np.random.default_rng(seed)
    draws = np.array([measure(w * random.poisson(1.0, codes.max() + 1)[codes]) for _ in range(replicates)])
    metrics, undefined = {}, {}
    for n, name in enumerate(_BOOTSTRAPPED):
        defined = draws[~np.isnan(draws[:, n]), n]
        low, high = (
            np.percentile(defined, (2.5, 97.5)) if len(defined) and not np.isnan(values[n]) else (np.nan, np.nan)
        )
        metrics[name] = Metric(*(None if np.isnan(v) else float(v) for v in (values[n], low, high)))
        if np.isnan(values[n]):
            undefined[name] = f"{int(y.sum())} clicks in {len(y)} rows: it needs both outcomes"
        elif len(defined) < replicates:
            undefined[name] = f"{replicates - len(defined)} of {replicates} bootstrap draws held one outcome only"
    metrics["ece"] = measure.calibration_error(w, codes, seed)
    return Evaluation(len(y), int(codes.max()) + 1, int(y.sum()), metrics, measure.reliability(w), undefined)


def row_losses(y: Floats, p: Floats) -> Floats:
    """Log loss in nats of each row [N], of probabilities."""
    safe = np.clip(p, 1e-12, 1 - 1e-12)
    return -(y * np.log(safe) + (1 - y) * np.log1p(-safe))


def log_loss(label: NDArray[Any], logit: NDArray[Any], weight: NDArray[Any]) -> float:
    """Weighted mean log loss in nats of logits [N], which need no clipping; N > 0."""
    y, z = np.asarray(label, np.float64), np.asarray(logit, np.float64)
    return float(np.average(np.logaddexp(0, z) - y * z, weights=np.asarray(weight, np.float64)))


class _Measure:
    """All metrics for any row weights; what does not depend on the weights is worked out once."""

    def __init__(self, y: Floats, p: Floats, bins: int) -> None:
        self.y, self.p = y, p
        _, self.rank = np.unique(p, return_inverse=True)
        self.loss = row_losses(y, p)
        edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
        self.bin = np.searchsorted(edges, p, side="left")  # equal predictions share a bin: ties must not make one up
        self.bins = len(edges) + 1

    def __call__(self, w: Floats) -> tuple[float, ...]:
        """The bootstrapped metrics in their order; NaN where one is not defined."""
        total, clicks, predicted = w.sum(), float(w @ self.y), float(w @ self.p)
        log_loss = float(w @ self.loss) / total if total else np.nan
        if not 0 < clicks < total:
            return np.nan, log_loss, np.nan, predicted / clicks if clicks else np.nan
        positive = np.bincount(self.rank, w * self.y)
        negative = np.bincount(self.rank, w * (1 - self.y))
        below = np.cumsum(negative) - negative / 2
        auc = float(positive @ below) / (clicks * (total - clicks))
        rate = clicks / total
        entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
        return auc, log_loss, log_loss / entropy, predicted / clicks

    def calibration_error(self, w: Floats, request: NDArray[np.int64], seed: int) -> Metric:
        """The expected calibration error of rows of the requests [N], counted from 0."""
        off = w * (self.p - self.y) / w.sum()
        gap, predicted = (np.bincount(self.bin, a, self.bins).astype(np.float64) for a in (off, w * self.p / w.sum()))
        return Metric(*estimate(gap, predicted, covariance(off, request, self.bin, self.bins), seed))

    def reliability(self, w: Floats) -> list[dict[str, float]]:
        mass, clicks = np.bincount(self.bin, w, self.bins), np.bincount(self.bin, w * self.y, self.bins)
        predicted = np.bincount(self.bin, w * self.p, self.bins)
        return [
            {
                "predicted": float(predicted[n] / mass[n]),
                "observed": float(clicks[n] / mass[n]),
                "rows": float(mass[n]),
                "clicks": float(clicks[n]),
            }
            for n in np.flatnonzero(mass)
        ]
