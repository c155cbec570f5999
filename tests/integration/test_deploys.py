"""Deploys that meet servers, each other, and their own end: on a real MLflow and a real Triton."""

import contextlib
import glob
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient

from adfeast import fleet
from adfeast.clock import ManualClock, SystemClock
from adfeast.contract.model_names import PRODUCTION_ALIAS, parse_triton_model, triton_model
from adfeast.contract.signature import Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.ledger import Ledger, RunInProgress
from adfeast.settings import Settings
from registry import journal
from registry import versions as models
from registry.deploy import deploy
from registry.errors import DeployFailed, ModelInUse, NotLoaded
from registry.unload import in_use, unload, unload_version
from tests.integration.deployed import ask, folders, leftovers, loaded, registered, told
from training.export.flavours import random_rows

RATES = (0.011, 0.012, 0.013, 0.014)
DAY = 86_400_000
MINUTE = 60_000
KILLS = 6
# Forks a deploy for each line it is told, so that one can be killed without waiting for its imports.
FORKS = """
import faulthandler, os, sys
import mlflow, tritonclient.http
from adfeast.settings import load_settings
from registry.deploy import deploy
faulthandler.enable()
for line in sys.stdin:
    version, flavour = line.split()
    child = os.fork()
    if not child:
        os._exit(0 if deploy(load_settings(), int(version), flavour) else 1)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def signature(settings: Settings) -> Signature:
    return load_definitions(settings).signature(settings.feature_service)


@pytest.fixture(scope="module")
def versions(settings: Settings, signature: Signature, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    folder = tmp_path_factory.mktemp("versions")
    return [registered(settings, signature, rate, folder) for rate in RATES]


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    """A day ahead, so that what other tests deployed is long ago."""
    return ManualClock(SystemClock().now_ms() + DAY)


@pytest.fixture(autouse=True)
def _later(clock: ManualClock) -> None:
    clock.advance(MINUTE)


@pytest.fixture
def triton(settings: Settings) -> InferenceServerClient:
    return InferenceServerClient(settings.triton_http, network_timeout=60)


@pytest.fixture
def forks(settings: Settings):
    # No thread of a library may run when it forks.
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with subprocess.Popen(
        [sys.executable, "-c", FORKS], stdin=-1, stdout=-1, stderr=-1, text=True, env=quiet
    ) as process:
        yield process
        process.stdin.close()


def in_turn(settings: Settings, numbers: list[int], clock: ManualClock) -> list[str]:
    names = []
    for number in numbers:
        clock.advance(MINUTE)
        names.append(deploy(settings, number, clock=clock))
    return names


def reports(settings: Settings, server: str, answers: str, clock: ManualClock) -> None:
    fleet.report(settings, fleet.Report(server, "127.0.0.1:1", 1, "c" * 64, answers), clock.now_ms())


def test_a_model_that_a_server_still_answers_with_stays_loaded_until_it_does_not(
    settings: Settings, signature: Signature, versions: list[int], clock: ManualClock, triton: InferenceServerClient
) -> None:
    [kept, _] = in_turn(settings, versions[:2], clock)
    reports(settings, "refuses-the-second", kept, clock)
    clock.advance(1000)
    deploy(settings, versions[2], clock=clock)
    clock.advance(1000)
    reports(settings, "refuses-the-second", kept, clock)
    newest = deploy(settings, versions[3], clock=clock)
    assert kept in loaded(triton)
    np.testing.assert_allclose(ask(triton, kept, random_rows(signature, 5, seed=1), signature), RATES[0], rtol=1e-4)
    clock.advance(MINUTE)  # the server is gone
    assert deploy(settings, versions[3], clock=clock) == newest
    both = {triton_model(v) for v in versions[2:]}
    assert loaded(triton) == folders(settings) == told(settings) == both


def test_what_was_production_since_the_last_reports_stays_loaded(
    settings: Settings, versions: list[int], clock: ManualClock, triton: InferenceServerClient
) -> None:
    """A server may have gone over to it and not have said so yet."""
    clock.advance(MINUTE)
    for number in versions:
        clock.advance(1000)
        deploy(settings, number, clock=clock)
    assert {triton_model(v) for v in versions} <= loaded(triton)
    clock.advance(MINUTE)
    deploy(settings, versions[-1], clock=clock)
    assert loaded(triton) == {triton_model(v) for v in versions[2:]}


def test_another_flavour_of_the_live_version_leaves_it_alone(
    settings: Settings, signature: Signature, versions: list[int], clock: ManualClock, triton: InferenceServerClient
) -> None:
    [live] = in_turn(settings, versions[:1], clock)
    with pytest.raises(DeployFailed, match="has no model_repository/nonsense"):
        deploy(settings, versions[0], "nonsense", clock)
    assert models.production(settings) == live
    gone, stop = [], threading.Event()

    def watch() -> None:
        own = InferenceServerClient(settings.triton_http)
        while not stop.wait(0.02):
            if not own.is_model_ready(live):
                gone.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        other = deploy(settings, versions[0], "torchrec_fp32", clock)
    finally:
        stop.set()
        watcher.join()
    assert (gone, other) == ([], triton_model(versions[0], "torchrec_fp32"))
    assert models.production(settings) == other
    assert {live, other} <= loaded(triton)


def test_of_two_deploys_at_once_one_waits_for_the_other(
    settings: Settings, versions: list[int], clock: ManualClock, triton: InferenceServerClient
) -> None:
    in_turn(settings, versions[:1], clock)
    names, barrier = [], threading.Barrier(2)

    def work(number: int) -> None:
        barrier.wait()
        names.append(deploy(settings, number, clock=clock))

    threads = [threading.Thread(target=work, args=(number,)) for number in versions[1:3]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == [triton_model(v) for v in versions[1:3]]
    first, second = list(journal.promotions(settings))[-2:]
    assert (first.before, second.before) == (triton_model(versions[0]), first.name)
    assert models.production(settings) == second.name
    assert set(names) <= loaded(triton)


def test_a_deploy_does_not_wait_longer_than_it_is_told(
    settings: Settings, versions: list[int], clock: ManualClock
) -> None:
    with Ledger(settings, clock).lease("deploy"), pytest.raises(RunInProgress, match="'deploy'"):
        deploy(settings, versions[0], clock=clock, wait_s=0)


def test_a_deploy_that_lost_its_lease_publishes_nothing(
    settings: Settings, versions: list[int], clock: ManualClock, triton: InferenceServerClient, forks
) -> None:
    in_turn(settings, [versions[3], versions[0]], clock)
    loser = begin(settings, forks, versions[1])
    os.kill(loser, signal.SIGSTOP)
    winner = deploy(settings, versions[2], clock=clock)  # on a clock on which the loser's lease has run out
    os.kill(loser, signal.SIGCONT)
    assert forks.stdout.readline() != "0\n"
    forks.stdin.close()
    assert "LeaseLost" in forks.stderr.read()
    assert models.production(settings) == winner
    assert triton_model(versions[1]) not in loaded(triton) | folders(settings) | told(settings)
    assert [p.name for p in journal.promotions(settings)][-1] == winner


def test_only_what_nobody_can_answer_with_is_unloaded(
    settings: Settings, versions: list[int], clock: ManualClock, triton: InferenceServerClient
) -> None:
    [older] = in_turn(settings, versions[:1], clock)
    flavoured = deploy(settings, versions[0], "torchrec_fp32", clock)
    live = deploy(settings, versions[1], clock=clock)
    with pytest.raises(ModelInUse, match=f"{older}.*was production.*{live}.*is production"):
        unload(settings, [older, live], clock)
    clock.advance(MINUTE)
    reports(settings, "late", older, clock)
    with pytest.raises(ModelInUse, match=f"{older} stays loaded: server late"):
        unload_version(settings, versions[0], clock)
    assert {older, flavoured, live} <= loaded(triton), "one that may not go keeps all"
    fleet.withdraw(settings, "late")
    assert unload_version(settings, versions[0], clock) == [older, flavoured]
    unload(settings, loaded(triton) - {live}, clock)
    assert loaded(triton) == folders(settings) == told(settings) == {live}
    with pytest.raises(NotLoaded, match=live):
        unload(settings, [older], clock)
    with pytest.raises(NotLoaded, match="not loaded in any flavour"):
        unload_version(settings, versions[0], clock)


def test_a_deploy_killed_at_any_moment_is_healed_by_the_next(
    settings: Settings, signature: Signature, versions: list[int], clock: ManualClock, triton, forks
) -> None:
    moments = random.Random(20)
    begun = time.monotonic()
    in_turn(settings, versions[:1], clock)
    span = (time.monotonic() - begun) / 2
    killed = 0
    for n in range(KILLS):
        child = begin(settings, forks, versions[1 + n % 2], "torchrec_fp32" if n == 4 else "onnx")
        time.sleep(moments.uniform(0, span))
        with contextlib.suppress(ProcessLookupError):  # it may be over
            os.kill(child, signal.SIGKILL)
        if forks.stdout.readline() == f"{int(signal.SIGKILL)}\n":
            killed += 1
        else:
            span /= 2  # the machine has less to do than when the time was taken
        answers(settings, triton, signature, versions)  # whatever was killed, what production names answers
        name = deploy(settings, versions[(n % 2) * (1 + n % 3)])
        answers(settings, triton, signature, versions)
        assert models.production(settings) == name
        last = list(journal.promotions(settings))[-1]
        assert last.name == name
        assert {name, last.before} <= loaded(triton)
        assert loaded(triton) == folders(settings) == told(settings)
        assert loaded(triton) <= {name, last.before} | set(in_use(settings, SystemClock().now_ms()))
        assert leftovers(settings) == []
    assert killed >= KILLS // 3, "most deploys were over before they were killed"
    told_of = list(journal.promotions(settings))
    assert all(a.name == b.before for a, b in itertools.pairwise(told_of))
    clock.advance(MINUTE)
    name = deploy(settings, versions[3], clock=clock)
    last = next(journal.newest_first(settings))
    assert loaded(triton) == folders(settings) == told(settings) == {name, last.before}


def begin(settings: Settings, forks: subprocess.Popen, version: int, flavour: str = "onnx") -> int:
    """Starts a deploy; returns its process once it downloads, holding the lease."""
    pattern = f"{settings.triton_repository}.incoming/tmp*"
    before, deadline = set(glob.glob(pattern)), time.monotonic() + 90
    forks.stdin.write(f"{version} {flavour}\n")
    forks.stdin.flush()
    child = int(forks.stdout.readline())
    while set(glob.glob(pattern)) <= before:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGABRT)
            forks.stdin.close()
            pytest.fail(f"the deploy of version {version} does not come so far: {forks.stderr.read()}")
        time.sleep(0.002)
    return child


def answers(settings: Settings, triton: InferenceServerClient, signature: Signature, versions: list[int]) -> None:
    """What production names answers as its version does, and the alias names one."""
    name = models.production(settings)
    rate = RATES[versions.index(parse_triton_model(name)[0])]
    np.testing.assert_allclose(ask(triton, name, random_rows(signature, 5, seed=1), signature), rate, rtol=1e-4)
    assert len([v for v in models.versions(settings) if PRODUCTION_ALIAS in v.aliases]) == 1
