"""The journal of promotions and the registration of versions, in a real MLflow."""

import shutil
from pathlib import Path

import pytest

from adfeast.clock import ManualClock, SystemClock
from adfeast.contract.model_names import triton_model
from adfeast.feast_ext.registry import load_definitions
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from registry import journal
from registry import versions as models
from registry.deploy import deploy
from registry.journal import Promotion
from tests.integration.deployed import registered
from training.model.bootstrap import constant


@pytest.fixture(scope="module")
def two(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    signature = load_definitions(settings).signature(settings.feature_service)
    return [registered(settings, signature, rate, tmp_path_factory.mktemp("two")) for rate in (0.021, 0.022)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(SystemClock().now_ms() + 10 * 86_400_000)


def told(settings: Settings) -> list[Promotion]:
    return list(journal.promotions(settings))


def test_deploys_repeats_and_returns_are_told_once_each_with_what_served_before(
    settings: Settings, two: list[int], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(settings, two[0], clock=clock)
    before, start = told(settings), clock.ms
    for number in (two[1], two[1], two[0], two[0]):
        clock.advance(60_000)
        deploy(settings, number, clock=clock)
    first, second = (triton_model(number) for number in two)
    new = told(settings)[len(before) :]
    assert [(p.before, p.name, p.version, p.flavour, p.at_ms) for p in new] == [
        (first, second, two[1], "onnx", start + 60_000),
        (second, first, two[0], "onnx", start + 180_000),
    ]
    assert {p.who for p in new} == {journal.user()}
    assert {p.signature_hash for p in new} == {models.version(settings, two[0]).signature_hash}
    whole = told(settings)
    monkeypatch.setattr(journal, "PAGE", 2)
    assert told(settings) == whole
    assert list(journal.newest_first(settings)) == whole[::-1]


def test_a_promotion_that_broke_off_is_told_if_and_only_if_production_moved(
    settings: Settings, two: list[int], clock: ManualClock
) -> None:
    serving = deploy(settings, two[0], clock=clock)
    other = triton_model(two[1])
    before = told(settings)
    said = Promotion(clock.ms, "somebody", two[1], "onnx", other, serving, "0" * 64)
    journal.begin(settings, said)
    assert told(settings) == before
    journal.settle(settings, clock.ms)
    assert told(settings) == before
    journal.begin(settings, said)
    models.set_production(settings, other, lambda: None)
    assert told(settings) == [*before, said]
    journal.settle(settings, clock.ms)
    assert told(settings) == [*before, said]
    clock.advance(60_000)
    assert deploy(settings, two[0], clock=clock) == serving
    assert [(p.before, p.name) for p in told(settings)[-2:]] == [(serving, other), (other, serving)]


def test_an_artifact_that_is_registered_keeps_its_version_whatever_its_folder(
    settings: Settings, two: list[int], tmp_path: Path, clock: ManualClock
) -> None:
    signature = load_definitions(settings).signature(settings.feature_service)
    artifact = constant(signature, 0.023, tmp_path / "one").path
    version = models.register(settings, artifact, clock)
    shutil.copytree(artifact, tmp_path / "copy")
    assert models.register(settings, tmp_path / "copy", clock) == version
    assert len([v for v in models.versions(settings) if v.version >= version]) == 1
    [run] = [r for r in Ledger(settings, clock).runs("registration") if r.digest == models.artifact_digest(artifact)]
    assert (run.status, run.facts, run.attempts) == ("done", {"version": version, "artifact": "copy"}, 2)
    (artifact / "evaluation.json").write_text("{}")
    assert models.register(settings, artifact, clock) == version + 1
