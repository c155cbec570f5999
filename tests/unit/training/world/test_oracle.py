"""Expectations against the truth are those of clicks drawn from it, and nothing beats the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from training.world import oracle


def test_expectations_are_the_means_over_drawn_clicks() -> None:
    random = np.random.default_rng(0)
    truth = random.beta(1, 9, 300_000)
    answer = np.round(np.clip(truth + 0.05 * random.standard_normal(len(truth)), 0.01, 0.99), 2)  # with ties
    clicks = random.random(len(truth)) < truth
    assert oracle.log_loss(truth, answer) == pytest.approx(log_loss(clicks, answer), abs=0.003)
    assert oracle.auc(truth, answer) == pytest.approx(roc_auc_score(clicks, answer), abs=0.005)


def test_no_answer_beats_the_truth() -> None:
    random = np.random.default_rng(1)
    truth = random.beta(1, 9, 10_000)
    for answer in (truth.mean(), truth * 1.1, truth**1.1, random.permutation(truth)):
        assert oracle.log_loss(truth, answer) > oracle.log_loss(truth, truth)
    assert oracle.auc(truth, random.permutation(truth)) == pytest.approx(0.5, abs=0.02)
    assert oracle.auc(truth, truth**2) == oracle.auc(truth, truth)
