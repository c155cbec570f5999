import numpy as np
import pytest
import torch

from training.model import calibrate
from training.model.errors import ModelError
from training.model.head import Head


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def test_a_known_distortion_is_recovered() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(-3, 1, 300_000)
    label = random.random(len(truth)) < sigmoid(truth)
    found = calibrate.fit((truth + 0.7) / 0.6, label)
    assert found.scale == pytest.approx(0.6, abs=0.02)
    assert found.shift == pytest.approx(-0.7, abs=0.05)


def test_few_clicks_move_it_little_and_none_do_not_break_it() -> None:
    random = np.random.default_rng(1)
    logit = random.normal(-5, 0.3, 3000)
    few = calibrate.fit(logit, random.random(3000) < 0.005)
    assert 0.6 < few.scale < 1.4
    none = calibrate.fit(logit, np.zeros(3000))
    assert np.isfinite([none.scale, none.shift]).all()
    assert none.shift + none.scale * -5 < -5
    assert calibrate.fit(np.zeros(0), np.zeros(0)) == calibrate.Calibration()


def test_weights_count_as_copies() -> None:
    random = np.random.default_rng(2)
    logit, label = random.normal(-1, 1, 500), random.random(500) < 0.3
    copies = calibrate.fit(np.repeat(logit, 3), np.repeat(label, 3))
    weighed = calibrate.fit(logit, label, np.full(500, 3.0))
    assert (weighed.scale, weighed.shift) == (pytest.approx(copies.scale), pytest.approx(copies.shift))


def test_the_head_undoes_downsampling_exactly() -> None:
    logit = torch.linspace(-30, 30, 101, dtype=torch.float64).reshape(-1, 1)
    p, w = torch.sigmoid(logit), 0.1
    head = Head(negative_rate=w).double()
    torch.testing.assert_close(head(logit, torch.zeros(len(logit), 0, dtype=torch.int64)), p / (p + (1 - p) / w))
    with pytest.raises(ModelError, match="negative_rate"):
        Head(negative_rate=0.0)


def test_a_temperature_moves_the_scale_alone() -> None:
    random = np.random.default_rng(3)
    truth = random.normal(-1, 1, 100_000)
    label = random.random(len(truth)) < sigmoid(truth)
    found = calibrate.fit(truth / 0.6, label, method="temperature")
    assert found.scale == pytest.approx(0.6, abs=0.02)
    assert found.shift == 0.0
    shifted = calibrate.fit(truth + 1.0, label, method="temperature")  # which it cannot undo
    assert shifted.shift == 0.0
    assert abs(sigmoid(shifted.scale * (truth + 1.0)).mean() - label.mean()) > 0.01
