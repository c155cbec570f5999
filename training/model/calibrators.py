"""Calibrations that one scale and one shift cannot be: any rising curve, and a shift for each slice.

Both change the log-odds, so that a served model can hold them beside its scale and shift (`training.model.head`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

Floats = NDArray[np.float64]
STEPS = 50
EVIDENCE = 2.0  # impressions at the mean rate that are added to each step of an isotonic curve
POINTS = 32  # of an isotonic curve; each stands for an equal share of the rows at least
STEEPEST = 2.0  # of its lines: what rounding or int8 tables change of a logit may grow no further


@dataclass(frozen=True)
class Isotonic:
    """Rising straight lines between points of the log-odds; beyond the first and the last it rises with slope 1.

    Attributes:
        at: log-odds before, rising, [K]; `to`: after, [K]. Without a point nothing changes.
    """

    at: Floats
    to: Floats

    @property
    def bends(self) -> Floats:
        """By how much the slope changes at each point, [K]; it is 1 before the first and after the last."""
        slopes = np.concatenate([[1.0], np.diff(self.to) / np.diff(self.at), [1.0]])
        return np.diff(slopes) if len(self.at) else self.at

    def log_odds(self, logit: Floats) -> Floats:
        """Of log-odds [N], [N]."""
        if not len(self.at):
            return logit
        inside = np.interp(logit, self.at, self.to)
        found: Floats = inside + np.minimum(logit - self.at[0], 0) + np.maximum(logit - self.at[-1], 0)
        return found

    def probability(self, logit: Floats) -> Floats:
        """Probabilities [N] of log-odds [N]."""
        return _sigmoid(self.log_odds(logit))


@dataclass(frozen=True)
class BySlice:
    """A shift of the log-odds for each slice; one that was not seen has none.

    Attributes:
        spread: standard deviation of the shifts that the data speak for; they are drawn towards 0 by it.
    """

    shift: Floats
    spread: float

    def log_odds(self, logit: Floats, of: NDArray[np.integer]) -> Floats:
        """Of log-odds [N] of rows of the slices `of` [N], [N]."""
        seen = (of >= 0) & (of < len(self.shift))
        return logit + np.where(seen, self.shift[np.where(seen, of, 0)], 0.0)

    def probability(self, logit: Floats, of: NDArray[np.integer]) -> Floats:
        """Probabilities [N] of log-odds [N] of rows of the slices `of` [N]."""
        return _sigmoid(self.log_odds(logit, of))


def isotonic(logit: NDArray[Any], label: NDArray[Any], weight: NDArray[Any] | None = None) -> Isotonic:
    """The rising step function nearest to the labels [N], as lines between the middles of its steps.

    Pool adjacent violators (Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates, 2002). Steps of few rows are joined to some, and each has `EVIDENCE` impressions at the mean rate more:
    it may have no click, and 0 is a rate that no log loss forgives. Where only one outcome was seen nothing changes.
    """
    z, y, w = _arrays(logit, label, weight)
    mean = float(np.average(y, weights=w)) if len(y) else 0.0
    if not 0 < mean < 1:
        return Isotonic(np.zeros(0), np.zeros(0))
    step = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(z, y, sample_weight=w)
    order = np.argsort(z, kind="stable")
    ends = np.flatnonzero(np.diff(step[order], append=np.inf))  # the last row of each step
    before = np.cumsum(w[order])
    share = np.minimum((before[ends] / before[-1] * POINTS).astype(np.int64), POINTS - 1)
    ends = ends[np.diff(share, append=POINTS) > 0]  # the last step that ends in each share of the rows
    block = np.searchsorted(ends, np.arange(len(z)))
    mass, middle, clicks = (np.bincount(block, a) for a in (w[order], (w * z)[order], (w * y)[order]))
    rate = np.maximum.accumulate((clicks + EVIDENCE * mean) / (mass + EVIDENCE))
    at, to = middle / mass, np.log(rate / (1 - rate))
    apart = np.diff(at, prepend=-np.inf) > 1e-6
    return Isotonic(at[apart], _no_steeper(at[apart], to[apart]))


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


def _no_steeper(at: Floats, to: Floats) -> Floats:
    """The points [K], moved to where no line between them is steeper than STEEPEST: half of it up, half of it down."""
    room = STEEPEST * at
    below = np.minimum.accumulate(to - room) + room
    above = np.maximum.accumulate((to - room)[::-1])[::-1] + room
    found: Floats = (below + above) / 2
    return found


def _arrays(logit: NDArray[Any], label: NDArray[Any], weight: NDArray[Any] | None) -> tuple[Floats, Floats, Floats]:
    z, y = np.asarray(logit, np.float64), np.asarray(label, np.float64)
    return z, y, np.ones_like(z) if weight is None else np.asarray(weight, np.float64)


def _sigmoid(z: Floats) -> Floats:
    p: Floats = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    return p
