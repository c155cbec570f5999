"""Negatives are sampled by the impression's id, and what is lost of the rate is given back exactly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from training.model.errors import ModelError
from training.sampling import chosen, corrected, distorted, weights

IDS = [f"impression-{n}" for n in range(20_000)]
SHARES = [1.0, 0.5, 0.1, 1e-3, 1e-6]
PROBABILITIES = np.concatenate([[0.0, 1e-300, 1e-12, 1 - 1e-12, 1.0], np.linspace(1e-4, 1 - 1e-4, 200)])


def test_an_impression_is_taken_or_not_whatever_is_beside_it() -> None:
    taken = dict(zip(IDS, chosen(IDS, 0.1), strict=True))
    turned = dict(zip(reversed(IDS), chosen(reversed(IDS), 0.1), strict=True))
    assert taken == turned
    assert chosen(IDS[7:8], 0.1)[0] == taken[IDS[7]]
    # What was taken once is taken for ever: training sets of other days and machines must agree.
    assert [i for i in IDS[:60] if taken[i]] == FIRST


FIRST = ["impression-16", "impression-23", "impression-50", "impression-56"]


def test_the_share_is_met_smaller_ones_lie_in_larger_ones_and_a_salt_takes_others() -> None:
    tenth, half = chosen(IDS, 0.1), chosen(IDS, 0.5)
    for share, taken in ((0.1, tenth), (0.5, half)):
        assert abs(taken.sum() - share * len(IDS)) < 4 * np.sqrt(share * (1 - share) * len(IDS))
    assert not (tenth & ~half).any()
    both = (tenth & chosen(IDS, 0.1, salt=1)).sum()
    assert abs(both - 0.01 * len(IDS)) < 4 * np.sqrt(0.01 * len(IDS))
    assert chosen(IDS, 1.0).all()


def test_weights_stand_for_the_rows_that_were_left_out() -> None:
    label = np.random.default_rng(0).random(len(IDS)) < 0.05
    kept = label | chosen(IDS, 0.1)
    weight = weights(label[kept], 0.1)
    assert (weight * label[kept]).sum() == label.sum()
    assert weight.sum() == pytest.approx(len(IDS), rel=0.07)


@pytest.mark.parametrize("share", SHARES)
def test_the_correction_is_exact_to_twelve_digits(share: float) -> None:
    w = Fraction(share)
    for p, q, d in zip(PROBABILITIES, corrected(PROBABILITIES, share), distorted(PROBABILITIES, share), strict=True):
        exact = Fraction(float(p))
        assert q == pytest.approx(float(exact / (exact + (1 - exact) / w)), rel=1e-12, abs=0)
        assert d == pytest.approx(float(exact / (exact + (1 - exact) * w)), rel=1e-12, abs=0)
    assert distorted(corrected(PROBABILITIES, share), share) == pytest.approx(PROBABILITIES, rel=0, abs=1e-12)
    if share >= 1e-3:  # a p so near to 1 that float64 itself has lost q again
        assert corrected(distorted(PROBABILITIES, share), share) == pytest.approx(PROBABILITIES, rel=0, abs=1e-12)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    for call in (lambda: chosen(IDS, share), lambda: weights(np.ones(1), share), lambda: corrected(0.5, share)):
        with pytest.raises(ModelError, match="share of the negatives"):
            call()
