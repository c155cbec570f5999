"""The figures of `make bench-world`: what stands for 0 and 100 %, and whose calibration is judged by what."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from adfeast.feast_ext.repo import declared
from adfeast.settings import Settings
from benchmarks.harness.learning_a_world import KNOWABLE, ORACLE, PRIOR, Learning, Learnt
from benchmarks.world import line_table, slice_table
from training.model.config import TrainConfig
from training.world.spec import WorldSpec

SPEC = WorldSpec(impressions=12_000, users=500, ads=60, click_rate=0.1, days=2)
CONFIG = TrainConfig(ridges=(125.0,), replicates=2)


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory) -> Learning:
    folder = tmp_path_factory.mktemp("world")
    return Learning(SPEC, declared(Settings()), "ctr_v1", folder, 1800.0, CONFIG, {"user_key": 64})


@pytest.fixture(scope="module")
def learnt(learning: Learning) -> Learnt:
    return learning.run(["lr"])


@pytest.mark.slow
def test_the_prior_closes_nothing_the_oracle_all_and_a_model_lies_between(learnt: Learnt) -> None:
    closed = {line.name: line.closed for line in learnt.lines}
    assert closed[PRIOR] == 0
    assert closed[ORACLE] == 1
    assert 0.1 < closed["lr"] < closed[KNOWABLE] < 1
    assert {line.name: line.closed_knowable for line in learnt.lines}[KNOWABLE] == 1


@pytest.mark.slow
def test_slices_are_of_the_held_out_time_and_judged_by_the_truth(learning: Learning, learnt: Learnt) -> None:
    slices = {s.name: s for s in learnt.slices}
    held_out = learnt.rows["held_out"]
    assert slices["all"].rows == held_out == len(learning.truth)
    ads = ("ads unseen before", "ads seen little", "ads from the start")
    for names in (ads, [n for n in slices if n.startswith("device")], [n for n in slices if n.startswith("category")]):
        assert sum(slices[n].rows for n in names) == held_out
    # Mean |predicted - true| by bin is at least the difference of the means, and what the clicks tell is near it.
    whole = slices["all"]
    assert whole.ece >= abs(whole.ratio - 1) * learning.truth.mean() - 1e-12
    assert whole.measured.low is not None
    assert whole.measured.high is not None
    assert whole.measured.low <= whole.ece <= whole.measured.high
    dates = learning.world.impressions.time_ms
    assert dates[~np.asarray(learning.data.part == 3)].max() <= dates[learning.data.part == 3].min()


@pytest.mark.slow
def test_the_tables_say_it_to_people(learnt: Learnt) -> None:
    console = Console(width=170, record=True, file=io.StringIO())
    console.print(line_table(learnt.lines, learnt.rows["held_out"]))
    console.print(slice_table(learnt.slices))
    told = console.export_text()
    assert "100.0 %" in told
    assert "placement banner" in told
