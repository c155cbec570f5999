"""Negatives are many and much alike: a share of them is enough to learn from, if it is known which and how many.

Which ones is a matter of the impression's id alone, so the same impression is taken (or not) whatever other rows there
are, in whatever order and on whatever machine. A model either weighs those that were taken by what they stand for, or
learns another rate and is corrected.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.ids import hash_id
from training.model.errors import ModelError

Floats = NDArray[np.float64]
_HASHES = 1 << 60  # ids hash to less


def chosen(ids: Iterable[str], share: float, salt: object = "") -> NDArray[np.bool_]:
    """Which of the impressions [N] are taken; those of a smaller share are among those of a larger one.

    Args:
        salt: another one takes others.
    """
    below = limit(share)
    return np.fromiter((hash_id(f"{salt}/{i}") < below for i in ids), np.bool_)


def limit(share: float) -> int:
    """Those are taken whose `hash_id` of salt, slash and id is below it; so other engines take the same."""
    _check(share)
    return round(share * _HASHES)


def weights(label: NDArray[Any], share: float) -> Floats:
    """What rows [N] stand for when all clicks and a share of the other rows were taken."""
    _check(share)
    return np.where(np.asarray(label) > 0, 1.0, 1 / share)


def corrected(p: NDArray[Any] | float, share: float) -> Floats:
    """The true probability of a model's p that has seen this share of the negatives, unweighted.

    q = p / (p + (1 - p) / w) with share w: odds fall to w times themselves (He et al., Practical Lessons from
    Predicting Clicks on Ads at Facebook, 2014, section 6.3).
    """
    _check(share)
    p = np.asarray(p, np.float64)
    return p / (p + (1 - p) / share)


def distorted(q: NDArray[Any] | float, share: float) -> Floats:
    """The inverse of `corrected`: what a model learns where the true probability is q."""
    _check(share)
    q = np.asarray(q, np.float64)
    return q / (q + (1 - q) * share)


def _check(share: float) -> None:
    if not 0 < share <= 1:
        raise ModelError(f"a share of the negatives must lie in (0, 1], got {share}")
