"""A method's examples and weights give the loss (or the answer) that final labels would give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from training.delay.fake_negatives import ElapsedTimeSampling, FakeNegativeCalibration, FakeNegativeWeighted
from training.delay.method import Clicks, Examples, Method
from training.delay.real_negatives import RealNegatives
from training.delay.table import methods
from training.delay.waiting import Linear, Wait

WINDOW_S, WAIT_S, N = 3600.0, 300.0, 100_000
SCALE = np.array([60.0, 1500.0])
ALL = methods(WAIT_S, WINDOW_S)
UNBIASED = [m for m in ALL if not isinstance(m, Linear | FakeNegativeCalibration)]


def named(method: Method) -> str:
    return method.name


def within(elapsed: float, scale: np.ndarray) -> np.ndarray:
    return -np.expm1(-((elapsed / scale) ** 0.7))


class Simulated:
    """Impressions with known rates and delays that go with them."""

    def __init__(self, rate: Callable[[np.random.Generator], np.ndarray], seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        ever = rate(random)
        scale = SCALE[(random.random(N) < 0.3 + 2 * ever).astype(int)]  # high rates have late clicks
        delay = np.where(random.random(N) < ever, scale * random.weibull(0.7, N), np.inf)
        self.p = ever * within(WINDOW_S, scale)
        self.clicks = Clicks(random.uniform(0, 1e5, N), delay, WINDOW_S)
        self.scale = scale

    def late(self, wait: float) -> np.ndarray:
        return 1 - within(min(wait, WINDOW_S), self.scale) / within(WINDOW_S, self.scale)


@pytest.fixture(scope="module")
def mixed() -> Simulated:
    return Simulated(lambda random: random.beta(1.0, 12.0, N))


def losses(f: np.ndarray, label: np.ndarray) -> np.ndarray:
    return -np.where(label > 0, np.log(f), np.log1p(-f))


def by_impression(examples: Examples, loss: np.ndarray) -> np.ndarray:
    return np.bincount(examples.row, loss, N)


def standard_errors(off: np.ndarray) -> float:
    """How many of them the mean of what should be 0 in expectation is off."""
    return float(abs(off.mean()) / (off.std() / np.sqrt(N) + 1e-300))


@pytest.mark.parametrize("method", UNBIASED, ids=named)
def test_the_weighted_loss_is_that_of_final_labels(method: Method, mixed: Simulated) -> None:
    """Of a model that is wrong: an estimate that is right only at the truth would not do."""
    f = np.clip(0.02 + 0.6 * mixed.p, 0, 1)
    e = method.examples(mixed.clicks)
    p, late = mixed.p[e.row], mixed.late(method.wait_s)[e.row]
    plain = e.weight * losses(f[e.row], e.label)
    final = losses(f, mixed.clicks.clicked)
    weighted = by_impression(e, plain * method.weight(e.label, p, late)) - final
    assert standard_errors(weighted) < 4
    if not isinstance(method, Wait):  # and the weights are needed
        assert standard_errors(by_impression(e, plain) - final) > 20


@pytest.mark.parametrize("published", [FakeNegativeWeighted(), ElapsedTimeSampling(WAIT_S)], ids=named)
def test_the_factor_of_the_papers_prefers_impressions_with_late_clicks(published: Method, mixed: Simulated) -> None:
    f = np.clip(0.02 + 0.6 * mixed.p, 0, 1)
    e = published.examples(mixed.clicks)
    p, late = mixed.p[e.row], mixed.late(published.wait_s)[e.row]
    theirs = (1 + p * late) * published.weight(e.label, p, late) * losses(f[e.row], e.label)
    final = losses(f, mixed.clicks.clicked)
    off = by_impression(e, theirs) - final
    assert off.mean() > 0
    assert standard_errors(off) > 20
    assert standard_errors(off - mixed.p * mixed.late(published.wait_s) * final) < 4  # as if x came 1 + d times


def fixed_point(method: Method, simulated: Simulated, late: float) -> float:
    """What a model that says one number for all comes to serve, with weights by what it serves itself."""
    e = method.examples(simulated.clicks)
    mass = np.bincount(e.label.astype(int), e.weight, 2)  # of negatives and positives
    share, label = np.full(2, late), np.array([0.0, 1.0])
    low, high = 1e-6, 0.5
    for _ in range(60):
        f = (low + high) / 2
        weight = mass * method.weight(label, method.serve(np.full(2, f), share), share)
        if (weight * (f - label)).sum() < 0:  # of the log loss by the log-odds
            low = f
        else:
            high = f
    return float(method.serve(np.array([low]), share[:1])[0])


@pytest.mark.parametrize("rate", [0.02, 0.2])
@pytest.mark.parametrize("method", [m for m in ALL if not isinstance(m, Linear)], ids=named)
def test_a_model_that_weighs_by_its_own_answer_comes_to_the_truth(method: Method, rate: float) -> None:
    simulated = Simulated(lambda _: np.full(N, rate))
    simulated.scale = np.full(N, 1500.0)
    random = np.random.default_rng(7)
    delay = np.where(random.random(N) < rate, 1500.0 * random.weibull(0.7, N), np.inf)
    simulated.clicks = Clicks(simulated.clicks.shown_s, delay, WINDOW_S)
    truth = rate * within(WINDOW_S, np.array([1500.0]))[0]
    found = fixed_point(method, simulated, simulated.late(method.wait_s)[0])
    assert found == pytest.approx(truth, abs=5 * np.sqrt(truth / N))


def test_linear_weight_is_off_as_derived_and_so_is_fnc_without_its_division() -> None:
    simulated = Simulated(lambda _: np.full(N, 0.2))
    clicked, linear = simulated.clicks.clicked, Linear(steps=20)
    p, before = clicked.mean(), np.floor(linear.steps * simulated.clicks.delay_s[clicked] / WINDOW_S) / linear.steps
    odds = p / (1 - p + p * before.mean())
    assert fixed_point(linear, simulated, 1.0) == pytest.approx(odds / (1 + odds), rel=1e-6)
    assert odds / (1 + odds) < 0.99 * p
    e = FakeNegativeCalibration().examples(simulated.clicks)
    assert e.label.mean() == pytest.approx(p / (1 + p))  # where a plain log loss ends


@pytest.mark.parametrize("method", ALL, ids=named)
def test_no_example_looks_ahead_and_order_is_that_of_time(method: Method, mixed: Simulated) -> None:
    e = method.examples(mixed.clicks)
    shown, delay = mixed.clicks.shown_s[e.row], mixed.clicks.delay_s[e.row]
    assert (np.diff(e.time_s) >= 0).all()
    assert (e.time_s >= shown).all()
    positive = e.label > 0
    assert (e.time_s[positive] >= (shown + delay)[positive] - 1e-6).all()
    assert mixed.clicks.clicked[e.row[positive]].all()
    assert (np.bincount(e.row, minlength=N) > 0).all()  # none is lost


def test_without_a_wait_es_dfm_is_fnw_and_with_the_whole_window_it_is_waiting(mixed: Simulated) -> None:
    own, fnw = ElapsedTimeSampling(0.0), FakeNegativeWeighted()
    a, b = own.examples(mixed.clicks), fnw.examples(mixed.clicks)
    assert np.array_equal(a.row, b.row)
    p = mixed.p[a.row]
    assert own.weight(a.label, p, np.ones(len(p))) == pytest.approx(fnw.weight(b.label, p, np.ones(len(p))), abs=1e-12)
    whole, wait = ElapsedTimeSampling(WINDOW_S).examples(mixed.clicks), Wait(WINDOW_S).examples(mixed.clicks)
    assert np.array_equal(whole.row, wait.row)
    assert np.array_equal(whole.label, wait.label)


@pytest.mark.parametrize("method", [*ALL, RealNegatives(0.0)], ids=named)
def test_extreme_answers_have_finite_weights_and_serve_probabilities(method: Method) -> None:
    p, late, label = (a.reshape(-1) for a in np.meshgrid([0.0, 1e-300, 0.5, 1.0], [0.0, 1e-12, 0.5, 1.0], [0.0, 1.0]))
    with np.errstate(all="raise", under="ignore"):
        weight, served = method.weight(label, p, late), method.serve(p, late)
    assert np.isfinite(weight).all()
    assert ((weight >= 0) & (weight <= 2)).all()
    assert ((served >= 0) & (served <= 1)).all()


@pytest.mark.parametrize("method", ALL, ids=named)
def test_no_impressions_make_no_examples(method: Method) -> None:
    none = np.zeros(0)
    e = method.examples(Clicks(none, none, WINDOW_S))
    assert len(e.row) == len(e.label) == len(e.time_s) == 0
