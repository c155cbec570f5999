import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss, roc_auc_score

from training.model.errors import TrainingSetError
from training.model.evaluate import NAMES, evaluate


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    p = random.beta(1, 20, 4000).round(3)  # rounded: ties
    y = (random.random(4000) < p * 0.8).astype(np.int8)
    return y, p, np.arange(4000) // 8, random.random(4000) + 0.5


def test_values_are_those_of_sklearn(sample: tuple[np.ndarray, ...]) -> None:
    y, p, request, w = sample
    found = {n: m.value for n, m in evaluate(y, p, request, w, seed=0, replicates=2).metrics.items()}
    safe = np.clip(p, 1e-12, 1 - 1e-12)
    assert found["auc"] == pytest.approx(roc_auc_score(y, p, sample_weight=w), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(y, safe, sample_weight=w), abs=1e-12)
    rate = np.average(y, weights=w)
    entropy = log_loss(y, np.full(len(y), rate), sample_weight=w)
    assert found["normalized_entropy"] == pytest.approx(found["log_loss"] / entropy, abs=1e-12)
    assert found["pcoc"] == pytest.approx((w @ p) / (w @ y), abs=1e-12)


def test_calibration_error_is_that_of_sklearns_bins(sample: tuple[np.ndarray, ...]) -> None:
    y, _, request, _ = sample
    p = np.random.default_rng(2).permutation(np.linspace(0.001, 0.2, len(y)))
    found = evaluate(y, p, request, seed=0, replicates=2, bins=10)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([b["observed"] for b in found.reliability], observed)
    np.testing.assert_allclose([b["predicted"] for b in found.reliability], predicted)
    ece = found.metrics["ece"]
    assert ece.low < ece.value < np.abs(observed - predicted).mean() < ece.high  # type: ignore[operator]


def test_intervals_hold_the_value_repeat_for_a_seed_and_widen_with_dependence(sample: tuple[np.ndarray, ...]) -> None:
    y, p, request, _ = sample
    found = evaluate(y, p, request, seed=4)
    assert found == evaluate(y, p, request, seed=4)
    for name in ("auc", "log_loss", "pcoc"):
        metric = found.metrics[name]
        assert metric.low is not None
        assert metric.high is not None
        assert metric.value is not None
        assert metric.low < metric.value < metric.high
    # the same rows five times over in one request each: as many rows, no more evidence
    copies = evaluate(np.repeat(y, 5), np.repeat(p, 5), np.repeat(request, 5), seed=4).metrics["pcoc"]
    alone = evaluate(np.repeat(y, 5), np.repeat(p, 5), np.arange(5 * len(y)), seed=4).metrics["pcoc"]
    own = found.metrics["pcoc"]
    assert copies.high - copies.low == pytest.approx(own.high - own.low, rel=0.05)  # type: ignore[operator]
    assert alone.high - alone.low < 0.6 * (copies.high - copies.low)  # type: ignore[operator]


def test_without_a_click_what_needs_one_is_undefined_and_says_so() -> None:
    found = evaluate(np.zeros(30), np.full(30, 0.01), np.arange(30), seed=0)
    for name in ("auc", "normalized_entropy", "pcoc"):
        assert found.metrics[name].value is None
        assert "0 clicks in 30 rows" in found.undefined[name]
    assert found.metrics["log_loss"].value == pytest.approx(-np.log(0.99))
    assert set(found.metrics) == set(NAMES)


def test_a_constant_prediction_has_one_bin_and_no_ranking() -> None:
    y = np.tile([1, 0, 0, 0], 50)
    found = evaluate(y, np.full(200, 0.25), np.arange(200), seed=0)
    assert len(found.reliability) == 1
    assert found.metrics["ece"].value == pytest.approx(0)
    assert found.metrics["auc"].value == 0.5
    assert found.metrics["normalized_entropy"].value == pytest.approx(1)


@pytest.mark.parametrize(("y", "p"), [([], []), ([0, 2], [0.1, 0.1]), ([0, 1], [0.1, 1.5]), ([0, 1], [0.1, np.nan])])
def test_what_is_no_prediction_of_clicks_is_refused(y: list[float], p: list[float]) -> None:
    with pytest.raises(TrainingSetError, match="labels of 0 or 1"):
        evaluate(np.array(y), np.array(p), np.arange(len(y)), seed=0)
