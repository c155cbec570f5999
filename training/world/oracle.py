"""How good an answer is against the truth: expectations over clicks, not over those that happened to come.

With the true probabilities c the mean of a measure over all clicks that might have come is known, so what is measured
of an answer f has no noise but that of which impressions were shown. Nothing can have a lower log loss than c itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-12


def log_loss(truth: NDArray[Any], answer: NDArray[Any] | float) -> float:
    """Expected log loss in nats of probabilities [N] (or one for all) where the true ones are `truth` [N]."""
    safe = np.clip(answer, SMALLEST, 1 - SMALLEST)
    return float(-np.mean(truth * np.log(safe) + (1 - truth) * np.log1p(-safe)))


def auc(truth: NDArray[Any], answer: NDArray[Any]) -> float:
    """Expected clicks by expected non-clicks ranked right, ties counting half: AUC with each row as both outcomes."""
    _, rank = np.unique(answer, return_inverse=True)
    click, other = np.bincount(rank, truth), np.bincount(rank, 1 - truth)
    below = np.cumsum(other) - other / 2
    return float(click @ below / (click.sum() * other.sum()))
