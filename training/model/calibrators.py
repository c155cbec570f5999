"""Calibrations that one scale and one shift cannot be: any rising curve, and a shift for each slice.

They stand beside `training.model.calibrate` for measuring what a model could gain by them; the head of a served model
is a scale and a shift (`training.model.head`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

Floats = NDArray[np.float64]
STEPS = 50
EVIDENCE = 2.0  # impressions at the mean rate that are added to each step of an isotonic curve


class Calibrator(Protocol):
    """A calibration that was fitted."""

    def probability(self, logit: Floats, of: NDArray[np.integer]) -> Floats:
        """Probabilities [N] of logits [N] of rows of the slices `of` [N]."""
        ...


@dataclass(frozen=True)
class Isotonic:
    """Rising straight lines between points; beyond the first and the last it stays as it is there."""

    logit: Floats
    rate: Floats

    def probability(self, logit: Floats, of: NDArray[np.integer]) -> Floats:
        """See `Calibrator.probability`; all slices share the curve."""
        return np.interp(logit, self.logit, self.rate)


@dataclass(frozen=True)
class BySlice:
    """A shift of the log-odds for each slice; one that was not seen has none.

    Attributes:
        spread: standard deviation of the shifts that the data speak for; they are drawn towards 0 by it.
    """

    shift: Floats
    spread: float

    def probability(self, logit: Floats, of: NDArray[np.integer]) -> Floats:
        """See `Calibrator.probability`."""
        seen = (of >= 0) & (of < len(self.shift))
        return _sigmoid(logit + np.where(seen, self.shift[np.where(seen, of, 0)], 0.0))


def isotonic(logit: NDArray[Any], label: NDArray[Any], weight: NDArray[Any] | None = None) -> Isotonic:
    """The rising step function nearest to the labels [N], as lines between the middles of its steps.

    Pool adjacent violators (Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates, 2002). A step of few rows may have no click, and 0 is a rate that no log loss forgives; so each has
    `EVIDENCE` impressions at the mean rate more.
    """
    z, y, w = _arrays(logit, label, weight)
    step = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(z, y, sample_weight=w)
    _, block = np.unique(step, return_inverse=True)
    mass, middle = np.bincount(block, w), np.bincount(block, w * z)
    mean = np.average(y, weights=w)
    rate = (np.bincount(block, w * y) + EVIDENCE * mean) / (mass + EVIDENCE)
    return Isotonic(middle / mass, np.maximum.accumulate(rate))


def by_slice(
    logit: NDArray[Any], label: NDArray[Any], of: NDArray[np.integer], weight: NDArray[Any] | None = None
) -> BySlice:
    """Shifts by slice [N], from 0, each drawn towards 0 the more the less is known of it (empirical Bayes).

    The shifts are taken for normal around 0. Their variance is that which explains how much more the slices' scores
    differ than chance alone has them do (the moments of DerSimonian and Laird, 1986, around a known mean); each shift
    is then the most likely one, by Newton's method.
    """
    z, y, w = _arrays(logit, label, weight)
    slices = int(of.max()) + 1

    def score_and_information(shift: Floats) -> tuple[Floats, Floats]:
        p = _sigmoid(z + shift[of])
        by_weight: list[Floats] = [
            np.bincount(of, a, slices).astype(np.float64) for a in (w * (y - p), w * p * (1 - p))
        ]
        return by_weight[0], by_weight[1]

    score, information = score_and_information(np.zeros(slices))
    seen = information > 0
    excess = float((score[seen] ** 2 / information[seen]).sum() - seen.sum())
    variance = max(excess, 0.0) / max(float(information.sum()), 1e-300)
    shift = np.zeros(slices)
    if variance > 0:
        for _ in range(STEPS):
            score, information = score_and_information(shift)
            step = (score - shift / variance) / (information + 1 / variance)
            shift = shift + np.clip(step, -1.0, 1.0)
            if np.abs(step).max() < 1e-10:
                break
    return BySlice(shift, float(np.sqrt(variance)))


def _arrays(logit: NDArray[Any], label: NDArray[Any], weight: NDArray[Any] | None) -> tuple[Floats, Floats, Floats]:
    z, y = np.asarray(logit, np.float64), np.asarray(label, np.float64)
    return z, y, np.ones_like(z) if weight is None else np.asarray(weight, np.float64)


def _sigmoid(z: Floats) -> Floats:
    p: Floats = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    return p
