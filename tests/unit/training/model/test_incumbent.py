"""The comparison of a trained model with the one that serves, on rows that neither has seen."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adfeast.contract.signature import Signature
from training.model.bootstrap import constant
from training.model.config import TrainConfig
from training.model.core import predict
from training.model.dataset import Part, TrainingSet
from training.model.fit import fit
from training.model.incumbent import Incumbent, answers, judge

MARGIN = 0.002


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, signature: Signature, write: Callable[..., Path]) -> TrainingSet:
    return TrainingSet(write(tmp_path_factory.mktemp("judged") / "set", signature, rows=10_000), signature)


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory, data: TrainingSet, signature: Signature) -> Incumbent:
    """What a first deployment serves, made for a part of the inputs only."""
    part = Signature(signature.service, signature.inputs[:3])
    folder = tmp_path_factory.mktemp("prior")
    constant(part, float(data.label.mean()), folder)
    return Incumbent("ctr-000001-onnx", folder)


@pytest.fixture(scope="module")
def learnt(data: TrainingSet) -> np.ndarray:
    """What a trained model answers."""
    held_out = data.read(Part.HELD_OUT)
    return predict(fit("lr", data, held_out, TrainConfig(replicates=2), seed=0).measured, held_out.tensors)


def test_the_prior_is_an_incumbent_that_a_model_with_signal_beats(
    data: TrainingSet, prior: Incumbent, learnt: np.ndarray
) -> None:
    np.testing.assert_allclose(answers(prior, data), data.label.mean(), rtol=1e-4)
    found = judge(prior, learnt, data, MARGIN, seed=0)
    assert (found.incumbent, found.passes, found.verdict) == (prior.name, True, "better")
    assert found.comparison is not None
    assert found.comparison.rows == data.count(Part.HELD_OUT)[0]
    assert found.comparison.normalized_entropy.high < -0.01  # type: ignore[operator]
    json.dumps(found.to_dict(), allow_nan=False)


def test_an_equal_model_passes_and_one_that_is_worse_or_too_noisy_does_not(
    data: TrainingSet, prior: Incumbent, learnt: np.ndarray
) -> None:
    old = answers(prior, data)
    assert judge(prior, old, data, MARGIN, seed=0).verdict == "as good"
    worse = judge(prior, old * 2, data, MARGIN, seed=0)
    assert (worse.passes, worse.verdict) == (False, "worse")
    assert "worse than ctr-000001-onnx: normalized entropy +0." in worse.reason
    noise = np.exp(np.random.default_rng(0).normal(0, 0.1, len(old)))
    found = judge(prior, old * noise, data, MARGIN, seed=0)
    assert (found.passes, found.verdict) == (False, "not shown")
    assert judge(prior, old * noise, data, 0.1, seed=0).passes


def test_rows_that_the_incumbent_has_learnt_from_do_not_count(
    tmp_path: Path, data: TrainingSet, prior: Incumbent, learnt: np.ndarray
) -> None:
    (tmp_path / "model_repository").symlink_to(prior.folder / "model_repository")
    (tmp_path / "signature.json").symlink_to(prior.folder / "signature.json")
    times = np.sort(data.times(Part.HELD_OUT))
    seen = replace(prior, folder=tmp_path)
    (tmp_path / "evaluation.json").write_text(json.dumps({"seen_until_us": int(times[len(times) // 2 - 1])}))
    half = judge(seen, learnt, data, MARGIN, seed=0).comparison
    assert half is not None
    assert half.rows == len(times) // 2
    (tmp_path / "evaluation.json").write_text(json.dumps({"seen_until_us": int(times[-1])}))
    found = judge(seen, learnt, data, MARGIN, seed=0)
    assert (found.passes, found.verdict, found.comparison) == (False, "not shown", None)
    assert "0 clicks in 0 held-out rows later than what it has seen" in found.reason
