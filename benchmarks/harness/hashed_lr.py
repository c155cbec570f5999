"""A small model that learns as examples come: logistic regression over hashed ids, by AdaGrad (Duchi et al., 2011)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.world.spec import MS_A_DAY
from training.world.traffic import World
from training.world.truth import MS_AN_HOUR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BUCKETS = 1 << 15
CROSSES = 61  # a prime, so that the columns of a cross do not fall together
RATE = 0.08
START = 1.0  # of the sums of squares, so that the first steps are no leaps


def columns(world: World) -> Ints:
    """What is known of each impression, as buckets [N, F]: ids, segments, and segments and hours by category."""
    shown, users, ads = world.impressions, world.truth.users, world.truth.ads
    category = world.category
    segments = [users.segment[shown.user, n] for n in range(users.segment.shape[1])]
    hour = shown.time_ms % MS_A_DAY // MS_AN_HOUR
    plain = [shown.ad, category, shown.position, shown.placement, shown.device, *segments]
    crossed = [category * CROSSES + s for s in (*segments, hour // 3)]
    score = np.round(2 * ads.score[shown.ad]).astype(np.int64)
    return _buckets([*plain, score, *crossed])


def _buckets(values: Sequence[Ints]) -> Ints:
    mixed = [(v + 1) * 2_654_435_761 + n * 40_503_001 for n, v in enumerate(values)]
    return np.stack([m % 2_147_483_647 % BUCKETS for m in mixed], axis=1)


class HashedLogistic:
    """Weights by bucket, and a constant.

    Args:
        log_odds: of the rate that it answers until it has learnt.
    """

    def __init__(self, log_odds: float) -> None:
        self._weights, self._squares = np.zeros(BUCKETS), np.full(BUCKETS, START)
        self._constant, self._constant_squares = log_odds, START

    def copy(self) -> HashedLogistic:
        """Another one that has learnt the same."""
        other = HashedLogistic(self._constant)
        other._constant_squares = self._constant_squares
        other._weights, other._squares = self._weights.copy(), self._squares.copy()
        return other

    def log_odds(self, rows: Ints) -> Floats:
        """[n] of columns [n, F]."""
        found: Floats = self._weights[rows].sum(axis=1) + self._constant
        return found

    def learn(self, rows: Ints, pull: Floats) -> None:
        """One step against `pull` [n], the derivative of each row's loss by its log-odds."""
        flat, each = rows.reshape(-1), np.repeat(pull, rows.shape[1])
        gradient = np.bincount(flat, each, BUCKETS)
        self._squares += gradient**2
        self._weights -= RATE * gradient / np.sqrt(self._squares)
        total = float(pull.sum())
        self._constant_squares += total**2
        self._constant -= RATE * total / np.sqrt(self._constant_squares)


def sigmoid(log_odds: Floats) -> Floats:
    """Probabilities of log-odds that no float64 overflows at."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -40, 40)))
