import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from adfeast.contract.model_names import OUTPUT
from adfeast.contract.signature import Signature
from training.model.config import TrainConfig
from training.model.core import predict
from training.model.dataset import Part, TrainingSet
from training.model.errors import ModelError, NoClicks, TrainingDiverged
from training.model.evaluate import NAMES, log_loss
from training.model.fit import choose, fit
from training.model.prep import mix
from training.model.train import Artifact, train

CONFIG = TrainConfig(replicates=20)


@pytest.fixture(scope="module")
def artifact(training_set: Path, signature: Signature, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return train(
        TrainingSet(training_set, signature), tmp_path_factory.mktemp("artifact"), model="dlrm", config=CONFIG, seed=1
    )


def test_an_artifact_is_whole(artifact: Artifact, signature: Signature) -> None:
    assert artifact.signature == signature
    assert Signature.from_json((artifact.path / "signature.json").read_text()) == signature
    metrics = json.loads((artifact.path / "metrics.json").read_text())
    assert metrics["model"] == "dlrm"
    assert {kind: set(m) for kind, m in metrics["models"].items()} == {"lr": set(NAMES), "dlrm": set(NAMES)}
    details = json.loads((artifact.path / "evaluation.json").read_text())
    inputs = {"never_logged": [], "not_logged_rows": {}, "unread_rows": {}, "rows_left_out": 0}
    assert metrics["inputs"] == details["inputs"] == inputs
    assert sum(p["rows"] for p in details["parts"].values()) == 6000
    assert details["models"]["lr"]["evaluation"]["reliability"]
    epochs = details["models"]["dlrm"]["fit"]["epochs"]
    assert [e["epoch"] for e in epochs] == list(range(1, len(epochs) + 1))
    assert all(e["training"] > 0 and e["later"] > 0 for e in epochs)
    assert (artifact.path / "probe.npz").exists()
    assert metrics["verdict"] is None  # it was compared with nothing
    files = {p.suffix for p in artifact.path.rglob("*") if p.is_file()}
    assert files <= {".json", ".npz", ".pbtxt", ".py", ".pt", ".onnx"}


def test_signal_is_learned_and_calibrated(artifact: Artifact) -> None:
    lr = artifact.metrics["models"]["lr"]
    assert lr["auc"]["low"] > 0.6
    assert lr["normalized_entropy"]["value"] < 0.97
    for kind in ("lr", "dlrm"):
        assert 0.7 < artifact.metrics["models"][kind]["pcoc"]["value"] < 1.4
    assert artifact.metrics["models"]["dlrm"]["auc"]["low"] > 0.6


def test_the_dlrm_finds_planted_signal_about_as_well_as_regression(
    tmp_path: Path, signature: Signature, write: Callable[..., Path]
) -> None:
    data = TrainingSet(write(tmp_path / "set", signature, rows=15_000), signature)
    held_out = data.read(Part.HELD_OUT)
    lr, dlrm = (fit(kind, data, held_out, CONFIG, seed=0).evaluation.to_dict()["metrics"] for kind in ("lr", "dlrm"))
    assert lr["auc"]["value"] > 0.75
    assert dlrm["auc"]["value"] > lr["auc"]["value"] - 0.04
    assert dlrm["normalized_entropy"]["value"] < 0.9


@pytest.mark.parametrize("kind", ["lr", "dlrm"])
def test_noise_teaches_nothing_and_leaves_the_click_rate(
    tmp_path: Path, signature: Signature, write: Callable[..., Path], kind: str
) -> None:
    data = TrainingSet(write(tmp_path / "set", signature, rows=16_000, signal=0.0), signature)
    metrics = fit(kind, data, data.read(Part.HELD_OUT), CONFIG, seed=0).evaluation.to_dict()["metrics"]
    assert metrics["normalized_entropy"]["value"] < 1.02
    # Some 80 clicks calibrate and 160 judge: by chance alone their ratio is off by 14 %.
    assert 0.7 < metrics["pcoc"]["value"] < 1.4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lr", "dlrm"])
def test_shuffled_labels_teach_no_ranking(
    tmp_path: Path, signature: Signature, write: Callable[..., Path], kind: str
) -> None:
    random, sets = np.random.default_rng(0), {}
    for name, rows in (("trained", 8_000), ("judged", 60_000)):
        folder = write(tmp_path / name, signature, rows=rows, rate=0.5, files=1)
        file = folder / "part-0.parquet"
        table = pq.read_table(file)
        at, shuffled = table.schema.get_field_index("label"), random.permutation(table["label"].to_numpy())
        pq.write_table(table.set_column(at, "label", pa.array(shuffled)), file)
        sets[name] = TrainingSet(folder, signature)
    config = CONFIG.model_copy(update={"max_epochs": 2, "ridges": (5.0,)})
    judged = sets["judged"].read(Part.TRAIN)
    metrics = fit(kind, sets["trained"], judged, config, seed=0).evaluation.metrics
    assert metrics["auc"].value == pytest.approx(0.5, abs=0.01)  # of some 18,000 clicks: three standard errors
    assert metrics["normalized_entropy"].value == pytest.approx(1.0, abs=0.02)


def test_training_ends_when_later_rows_say_so_and_keeps_the_best_pass(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature)
    config = CONFIG.model_copy(update={"dense_lr": 0.02, "patience": 2})  # steep enough to overfit soon
    core, chosen = choose("dlrm", data, config, seed=0)
    later = [e["later"] for e in chosen["epochs"]]
    assert 3 <= len(later) < config.max_epochs
    assert chosen["kept"] == len(later) - config.patience == 1 + int(np.argmin(later))
    stopping = data.read(Part.STOPPING)
    logit = predict(core, stopping.tensors)
    assert log_loss(stopping.label, logit, stopping.weight) == pytest.approx(min(later), abs=1e-6)
    _, long = choose("dlrm", data, config.model_copy(update={"enough_steps": 1}), seed=0)
    assert [e["epoch"] for e in long["epochs"]] == [1]
    assert long["epochs"][0]["later"] == later[0]


@pytest.mark.parametrize("kind", ["lr", "dlrm"])
def test_what_is_shipped_has_learnt_from_the_time_it_was_measured_on(
    tmp_path: Path, signature: Signature, write: Callable[..., Path], kind: str
) -> None:
    """An id that comes up, and is clicked, in the held-out fifth alone: what was measured cannot know it."""
    folder = write(tmp_path / "set", signature, rows=6000, signal=0.0)
    size = torch.tensor(next(i.hash_size for i in signature.inputs if i.name == "s0"))
    taken = set(mix(torch.arange(-1000, 20_000, 1000), size).tolist())
    idle, own = sorted(set(range(int(size))) - taken)[:2]
    new = next(n for n in range(1, 10_000) if int(mix(torch.tensor(n), size)) == own)
    file = folder / "part-1.parquet"  # the later half
    table = pq.read_table(file)
    late = (np.arange(3000) >= 1800) & (np.random.default_rng(3).random(3000) < 0.3)
    ids, label = table["s0"].to_numpy().copy(), table["label"].to_numpy().copy()
    ids[late], label[late] = new, 1
    for name, values in (("s0", ids), ("label", label)):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    pq.write_table(table, file, row_group_size=700)
    data = TrainingSet(folder, signature)
    trained = fit(kind, data, data.read(Part.HELD_OUT), CONFIG.model_copy(update={"ridges": (5.0,)}), seed=0)
    column = [i.name for i in signature.role("sparse")].index("s0")
    before, after = (m.core.embed.weights()[column] for m in (trained.measured, trained.model))
    assert torch.equal(before[idle], after[idle])  # both began alike, and nobody has seen this one
    assert (after[own] - before[own]).abs().max() > 1e-3


def test_the_ridge_is_the_one_that_later_rows_prefer(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature)
    _, tried = choose("lr", data, CONFIG, seed=0)
    order = sorted(CONFIG.ridges, reverse=True)
    assert [t["ridge"] for t in tried["ridges"]] == order[: len(tried["ridges"])]
    later = [t["later"] for t in tried["ridges"]]
    assert (np.diff(later)[:-1] < 0).all()
    assert len(later) == len(order) or later[-1] >= later[-2]  # it goes on until it gets worse
    assert tried["ridge"] == min(tried["ridges"], key=lambda t: t["later"])["ridge"]


def test_without_clicks_to_choose_by_training_is_cautious(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature, (0.8, 0.0, 0.2))
    lr, dlrm = (choose(kind, data, CONFIG, seed=0)[1] for kind in ("lr", "dlrm"))
    assert lr["ridge"] == max(CONFIG.ridges)
    assert [(e["epoch"], e["later"]) for e in dlrm["epochs"]] == [(1, None)]


def test_training_repeats_bitwise_for_a_seed(
    training_set: Path, signature: Signature, artifact: Artifact, tmp_path: Path
) -> None:
    again = train(TrainingSet(training_set, signature), tmp_path, model="dlrm", config=CONFIG, seed=1)
    assert again.metrics == artifact.metrics
    first, second = (np.load(a.path / "probe.npz")[OUTPUT] for a in (artifact, again))
    assert first.tobytes() == second.tobytes()
    onnx = Path("model_repository/onnx/1/model.onnx")
    assert (again.path / onnx).read_bytes() == (artifact.path / onnx).read_bytes()


def test_downsampled_training_answers_the_true_rate(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature)
    held_out = data.read(Part.HELD_OUT)
    config = TrainConfig(replicates=2, negative_rate=0.25)
    trained = fit("dlrm", data, held_out, config, seed=2)
    assert trained.fit["epochs"][0]["rows"] < 0.5 * data.count(Part.TRAIN)[0]
    assert predict(trained.model, held_out.tensors).mean() == pytest.approx(held_out.label.mean(), rel=0.3)
    assert abs(trained.calibration.shift) < 1.0


def test_few_clicks_do_not_blow_up(tmp_path: Path, signature: Signature, write: Callable[..., Path]) -> None:
    folder = write(tmp_path / "set", signature, rows=8000, rate=0.0008, seed=4)
    data = TrainingSet(folder, signature)
    assert 0 < data.count(Part.TRAIN)[1] < 60
    held_out = data.read(Part.HELD_OUT)
    rate = data.label.mean()
    for kind in ("lr", "dlrm"):
        p = predict(fit(kind, data, held_out, CONFIG, seed=0).model, held_out.tensors)
        assert rate / 4 < p.mean() < rate * 4
        assert p.max() < 0.5


def test_a_set_without_a_click_or_an_unknown_kind_is_refused(
    tmp_path: Path, signature: Signature, training_set: Path, write: Callable[..., Path]
) -> None:
    silent = write(tmp_path / "set", signature, rows=300, rate=1e-9)
    with pytest.raises(NoClicks, match="0 clicks in 180 rows"):
        train(TrainingSet(silent, signature), tmp_path / "out", model="lr", config=CONFIG, seed=0)
    with pytest.raises(ModelError, match="forest"):
        train(TrainingSet(training_set, signature), tmp_path / "out", model="forest", config=CONFIG, seed=0)
    with pytest.raises(ValidationError, match="multiple"):
        TrainConfig(dim=6)


@pytest.mark.parametrize("kind", ["lr", "dlrm"])
def test_a_loss_that_is_no_number_ends_the_training_by_name(
    tmp_path: Path, signature: Signature, write: Callable[..., Path], kind: str
) -> None:
    folder = write(tmp_path / "set", signature, rows=1000)
    table = pq.read_table(folder / "part-0.parquet")
    at = table.schema.get_field_index("d1")
    broken = table["d1"].to_numpy().copy()
    broken[7] = np.inf
    pq.write_table(table.set_column(at, "d1", pa.array(broken)), folder / "part-0.parquet")
    data = TrainingSet(folder, signature)
    with pytest.raises(TrainingDiverged, match=r"epoch 1, batch 1: .*not finite") as raised:
        fit(kind, data, data.read(Part.HELD_OUT), CONFIG, seed=0)
    assert (raised.value.epoch, raised.value.batch) == (1, 1)


def test_a_dlrm_that_diverges_is_not_shipped_as_it_began(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature)
    config = CONFIG.model_copy(update={"dense_lr": 1e30})
    with pytest.raises(TrainingDiverged, match=r"DLRM is .* in epoch \d+, batch \d+: lower dense_lr or table_lr"):
        fit("dlrm", data, data.read(Part.HELD_OUT), config, seed=0)


def test_what_was_not_logged_stands_in_the_artifact(
    tmp_path: Path, signature: Signature, write: Callable[..., Path]
) -> None:
    held, wanted = Signature("s", signature.inputs[:-1]), signature
    data = TrainingSet(write(tmp_path / "set", held, rows=600, rate=0.2), wanted, not_logged="missing")
    name, config = signature.inputs[-1].name, TrainConfig(replicates=2, max_epochs=1, ridges=(25.0,))
    made = train(data, tmp_path / "out", model="lr", config=config, seed=0, never_logged=[name])
    inputs = {"never_logged": [name], "not_logged_rows": {name: 600}, "unread_rows": {}, "rows_left_out": 0}
    for file in ("metrics.json", "evaluation.json"):
        assert json.loads((made.path / file).read_text())["inputs"] == inputs
