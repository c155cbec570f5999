"""Delays are fitted without being fooled by impressions that are young."""

from __future__ import annotations

import numpy as np
import pytest

from training.delay.distribution import fit
from training.model.errors import NoClicks

WINDOW_S = 3600.0


def weibull(scale: np.ndarray | float, count: int, random: np.random.Generator) -> np.ndarray:
    return scale * random.weibull(0.7, count)


def truth(elapsed: np.ndarray, scale: float) -> np.ndarray:
    """P(delay <= elapsed | delay <= window)."""
    return np.expm1(-((elapsed / scale) ** 0.7)) / np.expm1(-((WINDOW_S / scale) ** 0.7))


@pytest.mark.parametrize("seed", range(5))
def test_young_impressions_do_not_make_delays_short(seed: int) -> None:
    random = np.random.default_rng(seed)
    delay = np.where(random.random(100_000) < 0.2, weibull(1200.0, 100_000, random), np.inf)
    age = random.exponential(1500.0, 100_000)  # nearly all are younger than the window
    found = fit(delay, age, WINDOW_S)
    at = np.array([10.0, 60.0, 300.0, 900.0, 1800.0, 3000.0])
    assert found.at_most(at) == pytest.approx(truth(at, 1200.0), abs=0.03)
    seen = delay[delay <= np.minimum(age, WINDOW_S)]
    assert np.mean(seen <= 300.0) > truth(np.array([300.0]), 1200.0)[0] + 0.15  # what was seen is much quicker


def test_a_slice_with_clicks_has_its_own_delay_and_one_without_that_of_all() -> None:
    random = np.random.default_rng(0)
    of = random.choice(3, 60_000, p=[0.5, 0.498, 0.002])
    scale = np.array([30.0, 1200.0, 1200.0])[of]
    delay = np.where(random.random(len(of)) < 0.2, weibull(scale, len(of), random), np.inf)
    found = fit(delay, np.full(len(of), np.inf), WINDOW_S, of)
    slices = np.arange(5)
    late = found.later_than(300.0, slices)
    assert late[0] == pytest.approx(1 - truth(np.array([300.0]), 30.0)[0], abs=0.01)
    assert late[1] == pytest.approx(1 - truth(np.array([300.0]), 1200.0)[0], abs=0.02)
    overall = found.later_than(300.0)[0]
    assert overall == pytest.approx(np.mean(delay[delay <= WINDOW_S] > 300.0), abs=0.01)
    assert late[0] < overall < late[2] < late[1]  # some 20 clicks move it from that of all towards its own
    assert late[3] == late[4] == overall
    assert found.clicks[-1] == (delay <= WINDOW_S).sum()


def test_it_is_a_distribution_from_0_to_1_within_the_window() -> None:
    found = fit(np.array([0.5, 100.0, 2000.0, np.inf]), np.full(4, WINDOW_S), WINDOW_S)
    elapsed = np.linspace(-10, 2 * WINDOW_S, 500)
    share = found.at_most(elapsed)
    assert (np.diff(share) >= 0).all()
    assert share[0] == 0.0
    assert share[-1] == found.at_most(WINDOW_S) == 1.0
    assert found.at_most(np.array([1.0, 150.0])) == pytest.approx([1 / 3, 2 / 3], abs=0.02)


def test_without_a_click_there_is_nothing_to_fit() -> None:
    with pytest.raises(NoClicks, match="none of 2 impressions"):
        fit(np.array([np.inf, 50.0]), np.array([100.0, 20.0]), WINDOW_S)  # the second's click is still to come
