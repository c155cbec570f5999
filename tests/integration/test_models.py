"""Train, register, deploy and serve on a real MLflow and a real Triton."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from adfeast import fleet
from adfeast.contract.base_rates import BaseRates
from adfeast.contract.model_names import INPUTS_PARAMETER, OUTPUT, SIGNATURE_PARAMETER, triton_model
from adfeast.contract.signature import TENSORS, Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from registry import versions as models
from registry.deploy import deploy
from registry.errors import ArtifactError, DeployFailed, InputsNotMade, UnknownVersion
from serving.clients.http import HttpPool
from serving.model.pointer import ModelPointer, Models
from tests.integration.deployed import ask, loaded
from training.export.flavours import FLAVOURS, TOLERANCE, export, logit_change, random_rows
from training.model.bootstrap import constant
from training.model.calibrate import Calibration
from training.model.calibrators import BySlice, Isotonic
from training.model.core import Served, predict
from training.model.head import Head
from training.model.kinds.dlrm import dlrm

RATE = 0.0125
SHOWN = BaseRates.count(["often", "often", "once"], np.array([1, 0, 0]))


@pytest.fixture(scope="module")
def signature(settings: Settings) -> Signature:
    return load_definitions(settings).signature(settings.feature_service)


@pytest.fixture(scope="module")
def eager(signature: Signature) -> Served:
    import torch

    torch.manual_seed(3)
    core = dlrm(signature, 0.3, dim=8, dense_layers=(32,), over_layers=(32,), projection=8)
    for parameter in core.parameters():  # answers that differ much from row to row
        parameter.data.normal_(0, 0.15)
    curve = Isotonic(np.array([-4.0, -1.0, 1.0]), np.array([-4.5, -1.0, 1.5]))
    slices = BySlice(np.linspace(-0.5, 0.5, 10), 0.3)
    calibration = Calibration(1.1, -0.2, curve, slices, by=signature.role("sparse")[0].name)
    return Served(core, Head(calibration, 1.0, signature)).eval()


@pytest.fixture(scope="module")
def artifact(signature: Signature, eager: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = constant(signature, RATE, tmp_path_factory.mktemp("artifact") / "model").path
    export(eager, signature, out, rates=SHOWN)
    return out


@pytest.fixture(scope="module")
def first(settings: Settings, signature: Signature, tmp_path_factory: pytest.TempPathFactory) -> int:
    return models.register(settings, constant(signature, RATE, tmp_path_factory.mktemp("first") / "model").path)


@pytest.fixture(scope="module")
def second(settings: Settings, artifact: Path, first: int) -> int:
    return models.register(settings, artifact)


@pytest.fixture
def triton(settings: Settings) -> InferenceServerClient:
    return InferenceServerClient(settings.triton_http, network_timeout=60)


@pytest.mark.parametrize("flavour", list(FLAVOURS))
def test_triton_serves_the_eager_models_probabilities(
    settings: Settings, signature: Signature, eager: Served, second: int, triton: InferenceServerClient, flavour: str
) -> None:
    name = deploy(settings, second, flavour)
    assert name == triton_model(second, flavour)
    config = triton.get_model_config(name)
    assert config["parameters"][SIGNATURE_PARAMETER]["string_value"] == signature.hash
    assert config["parameters"][INPUTS_PARAMETER]["string_value"] == signature.to_json()
    assert config["parameters"]["flavour"]["string_value"] == flavour
    for count in (1, 200, settings.max_candidates):
        rows = random_rows(signature, count, seed=count)
        answer = ask(triton, name, rows, signature)
        assert answer.shape == (count, 1)
        assert answer.dtype == np.float32
        assert logit_change(answer[:, 0], predict(eager, rows)).max() <= TOLERANCE[flavour]


def test_triton_gives_back_a_signature_of_odd_characters_verbatim(
    settings: Settings, signature: Signature, tmp_path: Path, triton: InferenceServerClient
) -> None:
    odd = replace(signature.inputs[0], made="count(\"a\\b\" 'c') über 5m\n{ } # \t")
    signature = replace(signature, inputs=(odd, *signature.inputs[1:]))
    folder = settings.triton_repository / "odd"
    shutil.copytree(constant(signature, RATE, tmp_path / "odd").path / "model_repository" / "onnx", folder)
    try:
        triton.load_model("odd")
        stored = triton.get_model_config("odd")["parameters"][INPUTS_PARAMETER]["string_value"]
        triton.unload_model("odd")
    finally:
        shutil.rmtree(folder)
    assert stored == signature.to_json()
    assert Signature.from_json(stored) == signature


def test_a_server_learns_the_click_rates_that_a_version_carries(settings: Settings, second: int) -> None:
    name = deploy(settings, second)

    async def look() -> Models:
        triton = HttpPool(settings.triton_http)
        pointer = ModelPointer(settings, triton)
        try:
            return await pointer.look()
        finally:
            pointer.close()
            triton.close()

    rates = asyncio.run(look()).loaded[name].rates
    assert rates is not None
    assert rates.prior == SHOWN.prior
    assert rates.of(["often", "once"]).tolist() == SHOWN.of(["often", "once"]).tolist()
    assert np.isnan(rates.of(["never"])).all()


def test_a_bad_row_answers_nan_alone(
    settings: Settings, signature: Signature, eager: Served, second: int, triton: InferenceServerClient
) -> None:
    name = deploy(settings, second)
    rows = random_rows(signature, 20, seed=5)
    expected = predict(eager, rows)
    rows.dense[3, 0], rows.embeddings[7, 1], rows.dense[9, 1] = np.nan, np.inf, -np.inf
    answer = ask(triton, name, rows, signature)[:, 0]
    assert np.flatnonzero(np.isnan(answer)).tolist() == [3, 7, 9]
    good = ~np.isnan(answer)
    np.testing.assert_allclose(answer[good], expected[good], rtol=0, atol=1e-6)


def test_another_signature_or_shape_is_refused_by_name_and_alone(
    settings: Settings, signature: Signature, second: int, triton: InferenceServerClient
) -> None:
    name = deploy(settings, second)
    rows = random_rows(signature, 4, seed=6)
    with pytest.raises(InferenceServerException, match=rf"SignatureMismatch.*{signature.hash}.*has 0000"):
        ask(triton, name, rows, signature, claimed="0" * 64)
    with pytest.raises(InferenceServerException, match="shape"):
        ask(triton, name, replace(rows, dense=rows.dense[:, 1:]), signature)
    assert np.isfinite(ask(triton, name, rows, signature)).all()


def test_requests_that_arrive_together_are_checked_one_by_one(
    settings: Settings, signature: Signature, eager: Served, second: int
) -> None:
    name = deploy(settings, second)
    crowd = InferenceServerClient(settings.triton_http, concurrency=16, network_timeout=60)
    rows = [random_rows(signature, 50 + n, seed=n) for n in range(16)]
    waiting = []
    for n, own in enumerate(rows):
        inputs = []
        for role, tensor in TENSORS.items():
            inputs.append(
                InferInput(tensor, own.of(role).shape, "FP32" if own.of(role).dtype == np.float32 else "INT64")
            )
            inputs[-1].set_data_from_numpy(own.of(role))
        claimed = "f" * 64 if n % 4 == 3 else signature.hash
        waiting.append(crowd.async_infer(name, inputs, parameters={SIGNATURE_PARAMETER: claimed}))
    for n, pending in enumerate(waiting):
        if n % 4 == 3:
            with pytest.raises(InferenceServerException, match="SignatureMismatch"):
                pending.get_result()
        else:
            np.testing.assert_allclose(
                pending.get_result().as_numpy(OUTPUT)[:, 0], predict(eager, rows[n]), rtol=0, atol=1e-6
            )


def test_a_version_whose_inputs_are_not_made_is_refused_by_name(
    settings: Settings, signature: Signature, first: int, tmp_path: Path, triton: InferenceServerClient
) -> None:
    deploy(settings, first)
    made, gone = signature.inputs[:-1], replace(signature.inputs[-1], name="dwell", made="dwell 1h")
    changed = replace(made[0], made="otherwise")
    other = replace(signature, inputs=(changed, *made[1:], gone))
    version = models.register(settings, constant(other, RATE, tmp_path / "other").path)
    with pytest.raises(InputsNotMade, match=r"'dwell'.*Apply the definitions") as refused:
        deploy(settings, version)
    assert len(refused.value.missing) == 2
    assert made[0].name in refused.value.missing[0]
    assert models.production(settings) == triton_model(first)
    assert triton_model(version) not in loaded(triton)
    assert triton_model(version) not in {m.name for m in fleet.loaded_models(settings)}


def test_a_version_of_fewer_inputs_than_the_service_has_is_deployed(
    settings: Settings, signature: Signature, tmp_path: Path, triton: InferenceServerClient
) -> None:
    fewer = replace(signature, inputs=signature.inputs[:-1])
    name = deploy(settings, models.register(settings, constant(fewer, RATE, tmp_path / "fewer").path))
    rows = random_rows(fewer, 3, seed=1)
    np.testing.assert_allclose(ask(triton, name, rows, fewer), RATE, rtol=1e-4)


def test_a_failed_load_leaves_production_where_it_was_and_cleans_up(
    settings: Settings, signature: Signature, first: int, artifact: Path, tmp_path: Path, triton: InferenceServerClient
) -> None:
    deploy(settings, first)
    broken = tmp_path / "broken"
    shutil.copytree(artifact, broken)
    (broken / "model_repository" / "onnx" / "1" / "model.onnx").write_bytes(b"not a graph")
    version = models.register(settings, broken)
    with pytest.raises(DeployFailed, match=triton_model(version)):
        deploy(settings, version)
    assert models.production(settings) == triton_model(first)
    assert not (settings.triton_repository / triton_model(version)).exists()
    assert np.isfinite(ask(triton, triton_model(first), random_rows(signature, 3, seed=2), signature)).all()


def test_a_model_that_answers_wrongly_is_refused(
    settings: Settings, first: int, artifact: Path, tmp_path: Path
) -> None:
    deploy(settings, first)
    wrong = tmp_path / "wrong"
    shutil.copytree(artifact, wrong)
    probe = dict(np.load(wrong / "probe.npz"))
    np.savez(wrong / "probe.npz", **(probe | {OUTPUT: 1 - probe[OUTPUT]}))
    with pytest.raises(DeployFailed, match="answers"):
        deploy(settings, models.register(settings, wrong))
    assert models.production(settings) == triton_model(first)


def test_another_model_of_equally_small_probabilities_is_refused(
    settings: Settings, signature: Signature, first: int, tmp_path: Path
) -> None:
    deploy(settings, first)
    wrong, right = (constant(signature, rate, tmp_path / name).path for rate, name in ((0.006, "w"), (0.005, "r")))
    shutil.copyfile(right / "probe.npz", wrong / "probe.npz")
    with pytest.raises(DeployFailed, match=r"answers 0\.006 where 0\.005"):
        deploy(settings, models.register(settings, wrong))
    assert models.production(settings) == triton_model(first)


def test_a_dead_model_process_is_healed_by_deploying_again(
    settings: Settings, signature: Signature, second: int, triton: InferenceServerClient
) -> None:
    import psutil

    name = deploy(settings, second)
    repository = str(settings.triton_repository)
    stubs = [
        p
        for p in psutil.process_iter(["cmdline"])
        if any(f"{repository}/{name}/" in a for a in p.info["cmdline"] or ())
    ]
    assert stubs
    for stub in stubs:
        stub.kill()
    psutil.wait_procs(stubs, timeout=10)
    deploy(settings, second)
    assert np.isfinite(ask(triton, name, random_rows(signature, 3, seed=2), signature)).all()


def test_what_is_registered_can_be_read_back(
    settings: Settings, signature: Signature, second: int, tmp_path: Path
) -> None:
    found = models.version(settings, second)
    assert found.signature_hash == signature.hash
    stored = models.download(settings, found, "signature.json", tmp_path)
    assert Signature.from_json(stored.read_text()) == signature
    with pytest.raises(UnknownVersion, match="999"):
        models.version(settings, 999)
    with pytest.raises(ArtifactError, match=r"lacks .*metrics"):
        models.register(settings, tmp_path)
