import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from adfeast.contract.base_rates import BaseRates
from adfeast.contract.model_names import INPUTS_PARAMETER, OUTPUT, SIGNATURE_PARAMETER
from adfeast.contract.signature import TENSORS, Signature
from registry.triton import PROBE_TOLERANCE, PROBE_TOLERANCE_INT8, strays
from training.export import flavours as exporting
from training.export.flavours import FLAVOURS, TOLERANCE, config, export, logit_change, random_rows
from training.model.bootstrap import constant
from training.model.calibrate import Calibration
from training.model.calibrators import BySlice, Isotonic
from training.model.core import Served, predict
from training.model.errors import ExportMismatch, ModelError
from training.model.head import Head
from training.model.inputs import tell_missing
from training.model.kinds.dlrm import dlrm
from training.model.prep import MISSING_NUMBER, rows_of

RATES = BaseRates(0.01)


def lively(signature: Signature) -> Served:
    """A model whose answers differ much from row to row."""
    torch.manual_seed(5)
    core = dlrm(signature, 0.3, dim=8, dense_layers=(16,), over_layers=(16,), projection=4)
    for parameter in core.parameters():
        parameter.data.normal_(0, 0.3)
    return Served(core, Head(Calibration(0.9, 0.1), 0.5)).eval()


@pytest.fixture(scope="module")
def exported(signature: Signature, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Served]:
    out, model = tmp_path_factory.mktemp("export"), lively(signature)
    export(model, signature, out, rates=RATES)
    return out, model


def test_every_flavour_answers_as_the_eager_model_does(exported: tuple[Path, Served], signature: Signature) -> None:
    out, model = exported
    report = json.loads((out / "export.json").read_text())
    assert set(report) == {"onnx", "torchrec_fp32", "torchrec_int8"}
    rows = random_rows(signature, 2000, seed=99)  # others than the exporter looked at
    assert rows.ids.min() < -(2**40)
    expected = predict(model, rows)
    assert np.std(expected) > 0.05
    for flavour, (file, _, run) in FLAVOURS.items():
        assert report[flavour]["rows"] >= 10_000
        found = run(out / "model_repository" / flavour / "1" / file, rows)
        assert logit_change(found, expected).max() <= report[flavour]["tolerance"]


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(0.9, 0.1, curve=Isotonic(np.array([-3.0, -1.0, 2.0]), np.array([-3.5, -1.0, 1.0]))),
        Calibration(0.9, 0.1, slices=BySlice(np.linspace(-1, 1, 20), 0.5), by="s1"),
    ],
)
def test_every_flavour_holds_the_calibration(tmp_path: Path, signature: Signature, calibration: Calibration) -> None:
    core = lively(signature).core
    export(Served(core, Head(calibration, 0.5, signature)), signature, tmp_path, rates=RATES)
    rows = random_rows(signature, 2000, seed=7)
    column = [i.name for i in signature.role("sparse")].index("s1")
    of = rows_of(torch.from_numpy(rows.ids[:, column]), torch.tensor(signature.role("sparse")[column].hash_size))
    expected = calibration.probability(predict(core, rows) + np.log(0.5), of.numpy())
    plain = predict(Served(core, Head(Calibration(0.9, 0.1), 0.5)), rows)
    assert logit_change(plain, expected).max() > 0.3
    for flavour, (file, _, run) in FLAVOURS.items():
        found = run(tmp_path / "model_repository" / flavour / "1" / file, rows)
        assert logit_change(found, expected).max() <= TOLERANCE[flavour]


def test_every_flavour_scales_rare_counts_and_tells_what_is_missing_as_the_eager_model_does(
    tmp_path: Path, signature: Signature
) -> None:
    told = tell_missing(signature)
    model, rows = lively(told), random_rows(told, 3000, seed=1)
    counts = np.where(np.random.default_rng(0).random(rows.dense.shape) < 0.01, 20, 0).astype(np.float32)
    model.core.prep.fit([replace(rows, dense=counts)])
    report = export(model, told, tmp_path, rates=RATES)
    assert all(r["max_logit_change"] <= r["tolerance"] for r in report.values())
    few, blank = np.tile([[1], [3], [20], [200]], (750, rows.dense.shape[1])), np.full_like(rows.dense, MISSING_NUMBER)
    for dense in (few.astype(np.float32), blank):
        own = replace(rows, dense=dense)
        expected = predict(model, own)
        for flavour, (file, _, run) in FLAVOURS.items():
            found = run(tmp_path / "model_repository" / flavour / "1" / file, own)
            assert logit_change(found, expected).max() <= report[flavour]["tolerance"]
    zero = predict(model, replace(rows, dense=np.zeros_like(rows.dense)))
    assert logit_change(predict(model, replace(rows, dense=blank)), zero).max() > 0.05


def test_onnx_gives_a_row_the_same_bits_in_any_batch(exported: tuple[Path, Served], signature: Signature) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = exported[0] / "model_repository" / "onnx" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map[SIGNATURE_PARAMETER] == signature.hash
    rows = random_rows(signature, 700, seed=3)

    def run(begin: int, end: int) -> np.ndarray:
        feed = {i.name: getattr(rows, i.name)[begin:end] for i in session.get_inputs()}
        return session.run([OUTPUT], feed)[0]  # type: ignore[no-any-return]

    whole = run(0, 700)
    for begin, end in [(0, 1), (5, 6), (0, 7), (13, 212), (199, 200), (300, 699)]:
        assert run(begin, end).tobytes() == whole[begin:end].tobytes()


def test_the_configuration_states_shapes_and_signature(exported: tuple[Path, Served], signature: Signature) -> None:
    for flavour in FLAVOURS:
        folder = exported[0] / "model_repository" / flavour
        text = (folder / "config.pbtxt").read_text()
        assert signature.hash in text
        assert "default_queue_policy" not in text
        for role, tensor in TENSORS.items():
            assert (f'"{tensor}"' in text) == bool(signature.width(role))
        assert Signature.from_json((folder / "1" / "signature.json").read_text()) == signature


def test_the_configuration_holds_the_whole_signature(signature: Signature) -> None:
    [line] = [n for n in config(signature, "onnx", 0.01).splitlines() if f'key: "{INPUTS_PARAMETER}"' in n]
    quoted = line.removeprefix(f'parameters {{ key: "{INPUTS_PARAMETER}" value {{ string_value: ').removesuffix(" } }")
    assert json.loads(quoted) == signature.to_json()


def test_a_name_that_triton_would_read_otherwise_is_refused(signature: Signature) -> None:
    with pytest.raises(ModelError, match="printable ASCII"):
        config(replace(signature, service="über"), "onnx", 0.01)


def test_the_probe_holds_what_the_model_answers(exported: tuple[Path, Served], signature: Signature) -> None:
    probe = np.load(exported[0] / "probe.npz", allow_pickle=False)
    rows = random_rows(signature, exporting.CHECK_ROWS, 0)
    np.testing.assert_array_equal(probe["ids"], rows.ids[: exporting.PROBE_ROWS])
    np.testing.assert_allclose(probe[OUTPUT], predict(exported[1], rows)[: exporting.PROBE_ROWS], atol=1e-6)


def test_a_service_of_other_inputs_needs_no_other_edit(generate: Callable[..., Signature], tmp_path: Path) -> None:
    signature = generate(dense=0, sparse=2, lists=2, embeddings=0)
    report = export(lively(signature), signature, tmp_path, rates=RATES)
    assert all(r["max_logit_change"] <= r["tolerance"] for r in report.values())


def test_a_flavour_that_strays_is_refused_by_name(
    signature: Signature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(exporting.TOLERANCE, "torchrec_int8", 1e-12)
    with pytest.raises(ExportMismatch, match="torchrec_int8"):
        export(lively(signature), signature, tmp_path, rates=RATES)
    assert json.loads((tmp_path / "export.json").read_text())["torchrec_int8"]["max_logit_change"] > 0


def rare(signature: Signature, seed: int) -> Served:
    """A model around a click rate of 0.5 %."""
    torch.manual_seed(seed)
    core = dlrm(signature, 0.005, dim=8, dense_layers=(16,), over_layers=(16,), projection=4)
    core.over_arch.model[1].weight.data.mul_(4)
    return Served(core, Head()).eval()


def test_a_wrong_flavour_of_equally_small_probabilities_is_refused(
    signature: Signature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rare(signature, 8)
    file, make, run = FLAVOURS["torchrec_int8"]
    monkeypatch.setitem(FLAVOURS, "torchrec_int8", (file, lambda _, signature, path: make(other, signature, path), run))
    rows = random_rows(signature, exporting.CHECK_ROWS, 0)
    assert np.quantile(predict(other, rows), 0.9) < 0.02
    with pytest.raises(ExportMismatch, match="torchrec_int8"):
        export(rare(signature, 7), signature, tmp_path, rates=RATES)
    report = json.loads((tmp_path / "export.json").read_text())
    assert report["onnx"]["max_logit_change"] < report["onnx"]["tolerance"]


def test_a_deployed_model_is_told_from_another_of_equally_small_probabilities(signature: Signature) -> None:
    rows = random_rows(signature, exporting.PROBE_ROWS, 0)
    right, wrong = (predict(rare(signature, seed), rows).astype(np.float32) for seed in (7, 8))
    assert np.abs(right - wrong).max() < 5e-3
    for tolerance in (PROBE_TOLERANCE, PROBE_TOLERANCE_INT8):
        assert strays(right * np.float32(1 + tolerance / 2), right, tolerance) is None
        assert "was exported (row" in (strays(wrong, right, tolerance) or "")
        assert strays(np.full(3, 0.0046, np.float32), np.full(3, 0.005, np.float32), tolerance)
    broken = right.copy()
    broken[5] = np.nan
    assert "answers nan" in (strays(broken, right, 0.05) or "")
    assert strays(right[:-1], right, 0.05)


def test_the_first_model_answers_the_prior(signature: Signature, tmp_path: Path) -> None:
    artifact = constant(signature, 0.0046, tmp_path)
    for flavour, (file, _, run) in FLAVOURS.items():
        path = tmp_path / "model_repository" / flavour / "1" / file
        np.testing.assert_allclose(run(path, random_rows(signature, 100, seed=1)), 0.0046, rtol=1e-5)
    assert artifact.metrics["prior"] == 0.0046
    with pytest.raises(ModelError, match="prior"):
        constant(signature, 0.0, tmp_path)
