"""The figures of `make bench-learning`: what stands for 0 and 1, and what is learnt when."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from benchmarks.harness.delayed_feedback import ORACLE, PRETRAINED, Measured, Sizes, Stream
from benchmarks.harness.hashed_lr import HashedLogistic, sigmoid
from benchmarks.learning import delay_table
from training.world.spec import WorldSpec

SPEC = WorldSpec(impressions=24_000, users=2_000, ads=100, click_rate=0.1, days=2, drift=1.0, delay_s=(60, 7200))


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream(Sizes(SPEC, pretrain_days=1.0, window_s=6 * 3600.0, wait_s=900.0))


def test_learning_nothing_is_0_final_labels_at_once_are_1_and_methods_lie_between(stream: Stream) -> None:
    found = {m.name: m for m in stream.measure()}
    assert (found[PRETRAINED].ri_log_loss, found[ORACLE].ri_log_loss) == (0.0, 1.0)
    assert found[ORACLE].log_loss < found[PRETRAINED].log_loss
    assert found["ES-DFM"].ri_log_loss > 0.5
    assert found["wait"].ri_log_loss < found["ES-DFM"].ri_log_loss < 1.1


def test_pretraining_sees_no_label_that_is_not_final(stream: Stream) -> None:
    seen = stream.shown_s[: stream.first_fresh]
    assert (seen + stream.sizes.window_s <= stream.begin_s).all()
    assert stream.shown_s[stream.first_fresh] + stream.sizes.window_s > stream.begin_s


def test_the_small_model_learns_rates_and_a_copy_learns_alone() -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 4, (40_000, 1))
    label = (random.random(len(rows)) < np.array([0.05, 0.2, 0.4, 0.6])[rows[:, 0]]).astype(float)
    model = HashedLogistic(0.0)
    untouched = model.copy()
    for begin in range(0, len(rows), 200):
        part = slice(begin, begin + 200)
        model.learn(rows[part], sigmoid(model.log_odds(rows[part])) - label[part])
    assert sigmoid(model.log_odds(np.arange(4)[:, None])) == pytest.approx([0.05, 0.2, 0.4, 0.6], abs=0.06)
    assert (untouched.log_odds(np.arange(4)[:, None]) == 0).all()


def test_the_table_has_a_line_a_method_and_an_error_over_worlds() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(delay_table([[Measured("a", 0.1, 0.7, ri, 0.5)] for ri in (0.8, 0.9)]))
    assert "0.85 ± 0.05" in console.export_text()
