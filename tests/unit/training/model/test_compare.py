"""Intervals are only worth their name if they hold the truth about as often as they say."""

import numpy as np
import pytest

from training.model.calibration_error import covariance, estimate
from training.model.compare import compare
from training.model.errors import TrainingSetError
from training.model.evaluate import evaluate

RUNS, REQUESTS, PER_REQUEST = 200, 400, 10


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def world(seed: int, requests: int = REQUESTS) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Log odds that the rows of a request share in part, and the request of each row."""
    random = np.random.default_rng(seed)
    request = np.arange(requests * PER_REQUEST) // PER_REQUEST
    return random, random.normal(-3, 0.6, len(request)) + random.normal(0, 0.5, requests)[request], request


def entropy(p: np.ndarray) -> float:
    return float(-(p.mean() * np.log(p.mean()) + (1 - p.mean()) * np.log1p(-p.mean())))


def expected_difference(truth: np.ndarray, new: np.ndarray, old: np.ndarray) -> float:
    """Of the log losses, over the labels that the truth may give."""
    return float((truth * (np.log(old) - np.log(new)) + (1 - truth) * (np.log1p(-old) - np.log1p(-new))).mean())


def test_a_paired_difference_is_that_of_the_two_losses_and_its_interval_is_narrower() -> None:
    random, z, request = world(0, 3000)
    y = random.random(len(z)) < sigmoid(z)
    new, old, weight = sigmoid(0.9 * z - 0.2), sigmoid(z + 0.1), random.random(len(z)) + 0.5
    apart = [evaluate(y, p, request, weight, seed=0).metrics for p in (new, old)]
    found = compare(y, new, old, request, weight, seed=0)
    assert (found.rows, found.requests, found.clicks) == (len(z), 3000, int(y.sum()))
    for name in ("log_loss", "normalized_entropy"):
        both, metric = [m[name] for m in apart], getattr(found, name)
        assert metric.value == pytest.approx(both[0].value - both[1].value, abs=1e-12)
        assert metric.low < metric.value < metric.high
        assert metric.high - metric.low < 0.3 * (both[0].high - both[0].low)
    assert found == compare(y, new, old, request, weight, seed=0)
    swapped = compare(y, old, new, request, weight, seed=0)
    assert swapped.log_loss.value == pytest.approx(-found.log_loss.value)  # type: ignore[operator]


def test_rows_of_one_request_are_no_more_evidence_than_one() -> None:
    random, z, request = world(1)
    y = random.random(len(z)) < sigmoid(z)
    new, old = sigmoid(z), sigmoid(z - 0.5)
    once = compare(y, new, old, request, seed=0).log_loss
    five = compare(*(np.repeat(a, 5) for a in (y, new, old, request)), seed=0).log_loss
    assert five.high - five.low == pytest.approx(once.high - once.low)  # type: ignore[operator]


def test_what_cannot_be_compared_is_refused_or_undefined() -> None:
    with pytest.raises(TrainingSetError, match="labels of 0 or 1"):
        compare(np.array([0, 1]), np.array([0.1, np.nan]), np.array([0.1, 0.1]), np.arange(2), seed=0)
    found = compare(np.zeros(20), np.full(20, 0.1), np.full(20, 0.2), np.arange(20), seed=0)
    assert found.normalized_entropy.value is None
    assert found.log_loss.value == pytest.approx(np.log(0.8 / 0.9))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_intervals_of_paired_differences_cover_the_truth(scale: float) -> None:
    held = 0
    for seed in range(RUNS):
        random, z, request = world(seed)
        truth, new, old = sigmoid(z), sigmoid(scale * z - (1 - scale) * 3), np.full(len(z), sigmoid(z).mean())
        y = random.random(len(z)) < truth
        metric = compare(y, new, old, request, seed=seed, replicates=300).log_loss
        held += metric.low <= expected_difference(truth, new, old) <= metric.high  # type: ignore[operator]
    assert 0.90 * RUNS <= held <= 0.99 * RUNS


def wrong(p: np.ndarray, how: str) -> np.ndarray:
    """True rates of which p would be the prediction."""
    ways = {"right": p, "all": np.minimum(1.3 * p, 1), "half": np.where(p > np.median(p), np.minimum(1.5 * p, 1), p)}
    return ways[how]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["right", "all", "half"])
def test_intervals_of_the_calibration_error_cover_the_truth(how: str) -> None:
    held, bins = 0, 15
    for seed in range(RUNS):
        random, z, request = world(seed)
        p = sigmoid(z)
        truth = wrong(p, how)
        y = random.random(len(z)) < truth
        own = np.searchsorted(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]), p)
        off = (p - y) / len(p)
        gap, predicted = np.bincount(own, off, bins), np.bincount(own, p / len(p), bins)
        _, low, high = estimate(gap, predicted, covariance(off, request, own, bins), seed)
        held += low <= np.abs(np.bincount(own, (p - truth) / len(p), bins)).sum() <= high
    assert 0.90 * RUNS <= held <= 0.99 * RUNS


def test_a_calibrated_model_may_have_no_calibration_error() -> None:
    zeros = 0
    for seed in range(20):
        random, z, request = world(seed, 1000)
        p = sigmoid(z)
        metric = evaluate(random.random(len(p)) < p, p, request, seed=seed, replicates=2).metrics["ece"]
        zeros += metric.low == 0
    assert zeros >= 18
