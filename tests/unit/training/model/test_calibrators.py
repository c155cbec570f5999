"""Calibrations beyond a scale and a shift: any rising curve, and shifts by slice that do not follow chance."""

from __future__ import annotations

import numpy as np
import pytest

from training.model import calibrate
from training.model.calibrators import POINTS, STEEPEST, by_slice, isotonic


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def expected_loss(truth: np.ndarray, p: np.ndarray) -> float:
    return float(-np.mean(truth * np.log(p) + (1 - truth) * np.log1p(-p)))


def test_an_isotonic_curve_bends_where_no_scale_and_shift_do() -> None:
    random = np.random.default_rng(0)
    logit = random.normal(-2, 1.5, 60_000)
    truth = sigmoid(-3.0 + np.where(logit < -2, 0.1, 1.8) * (logit + 2))
    label = random.random(len(truth)) < truth
    curve = isotonic(logit, label)
    best = expected_loss(truth, truth)
    regret = expected_loss(truth, curve.probability(logit)) - best
    platt = expected_loss(truth, calibrate.fit(logit, label).probability(logit)) - best
    assert regret < 0.001 < 0.003 < platt


def test_an_isotonic_curve_rises_and_never_says_never() -> None:
    random = np.random.default_rng(1)
    logit = random.normal(-5, 0.3, 3_000)
    for label in (random.random(3_000) < 0.005, np.zeros(3_000), logit > -5):
        p = isotonic(logit, label).probability(np.linspace(-50, 30, 200))
        assert (np.diff(p) >= 0).all()
        assert ((p >= 0) & (p < 1)).all()
        if label.any():
            assert p[0] > 0


def test_an_isotonic_curve_is_nowhere_steep_and_its_bends_make_it() -> None:
    random = np.random.default_rng(4)
    logit = np.round(random.normal(-3, 0.5, 20_000), 2)
    label = random.random(len(logit)) < np.where(logit > -3, 0.3, 0.01)  # infinitely steep at one place
    curve = isotonic(logit, label)
    assert 2 <= len(curve.at) <= POINTS
    z = np.linspace(-8, 3, 3000)
    slopes = np.diff(curve.log_odds(z)) / np.diff(z)
    assert slopes.min() > -1e-9
    assert slopes.max() < STEEPEST + 1e-9
    bent = z + (curve.to[0] - curve.at[0]) + (np.maximum(z[:, None] - curve.at, 0) * curve.bends).sum(1)
    assert bent == pytest.approx(curve.log_odds(z), abs=1e-9)


def test_weights_count_as_copies() -> None:
    random = np.random.default_rng(2)
    logit, label, of = random.normal(-1, 1, 900), random.random(900) < 0.3, random.integers(0, 3, 900)
    label[of == 2] |= random.random((of == 2).sum()) < 0.5
    triple = [np.repeat(a, 3) for a in (logit, label, of)]
    at, slices = np.linspace(-3, 1, 50), np.arange(50) % 3
    weight = np.full(900, 3.0)
    for weighed, copied in (
        (isotonic(logit, label, weight).log_odds(at), isotonic(*triple[:2]).log_odds(at)),
        (by_slice(logit, label, of, weight).log_odds(at, slices), by_slice(*triple).log_odds(at, slices)),
    ):
        assert weighed == pytest.approx(copied, abs=1e-6)


def test_shifts_follow_slices_that_differ_and_shrink_with_few_rows() -> None:
    random = np.random.default_rng(3)
    true = random.normal(0, 0.5, 50)
    of = random.choice(50, 200_000, p=np.r_[np.full(49, 0.9995 / 49), 0.0005])
    logit = random.normal(-2.5, 1, len(of))
    label = random.random(len(of)) < sigmoid(logit + true[of])
    found = by_slice(logit, label, of)
    assert found.spread == pytest.approx(true.std(), rel=0.3)
    assert np.corrcoef(found.shift[:-1], true[:-1])[0, 1] > 0.97
    few = of == 49
    p = sigmoid(logit[few])
    score, information = (label[few] - p).sum(), (p * (1 - p)).sum()
    shrunk = score / (information + found.spread**-2)
    assert information < 20  # so chance alone has it off by a quarter
    assert found.shift[49] == pytest.approx(shrunk, abs=0.1)
    unseen = found.probability(np.array([-2.0]), np.array([77]))
    assert unseen == pytest.approx(sigmoid(np.array([-2.0])))


def test_slices_that_differ_by_chance_alone_are_left_nearly_alone() -> None:
    shifts = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        of, logit = random.integers(0, 30, 20_000), random.normal(-2.5, 1, 20_000)
        shifts.append(np.abs(by_slice(logit, random.random(20_000) < sigmoid(logit), of).shift).mean())
    chance = 1 / np.sqrt(20_000 / 30 * 0.08)  # what the shifts would be without shrinking
    assert np.mean(shifts) < 0.3 * chance
