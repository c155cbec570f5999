"""Real stores and a real Triton that stand still or die: auctions are answered, and what can be healed is."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import psutil
import pytest

from adfeast import fleet
from adfeast.clock import SystemClock
from adfeast.contract import snapshots
from adfeast.contract.model_names import parse_triton_model
from adfeast.contract.rungs import Rung
from adfeast.contract.signature import Contract, Signature
from adfeast.contract.snapshots import Snapshot, SnapshotCodec
from adfeast.contract.tensors import Status
from adfeast.settings import Settings
from infra.local.platform.home import program
from infra.local.platform.platform import Platform
from infra.local.platform.ports import is_free
from registry.keeper import Keeper
from serving.health import FULL
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc
from tests.integration.echo_model import PRIOR
from tests.integration.serving.calls import (
    OPTIONS,
    SERVICE,
    Topic,
    auction,
    healthy,
    wait_for,
)

# Live budgets are some ten milliseconds; on a busy machine, too, what does not stand still must be in time.
BUDGET_MS, GENEROUS_S = "200", 1.5
AUCTIONS = 12


@pytest.fixture(scope="module")
def address(platform: Platform, model: str) -> Iterator[str]:
    """A server with budgets like those of live traffic beside that of the other tests, which has a replay's."""
    where = f"127.0.0.1:{next(p for p in range(34_000, 35_000) if is_free(p))}"
    budgets = {f"ADFEAST_{part}_BUDGET_MS": BUDGET_MS for part in ("REDIS", "DYNAMODB", "TRITON")}
    own = {"ADFEAST_GRPC_ADDRESS": where, "ADFEAST_REST_ADDRESS": "null", "ADFEAST_SERVER_NAME": "ladder", **budgets}
    settings = {"ADFEAST_SETTINGS": str(platform.home.settings_file)}
    log = (platform.home.root / "ladder.log").open("w")
    process = subprocess.Popen(
        [program("adfeast"), "serve"], env=os.environ | settings | own, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        yield where
    finally:
        process.terminate()
        process.wait(30)
        log.close()


@pytest.fixture(scope="module")
def opened(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        wait_for(lambda: healthy(channel, FULL))
        yield channel


@pytest.fixture(scope="module")
def quick(opened: grpc.Channel) -> Any:
    return pb_grpc.PredictionStub(opened)


@contextmanager
def standing_still(platform: Platform, part: str) -> Iterator[None]:
    """SIGSTOP of a part and its children, as of a machine that swaps or a disk that hangs."""
    pid = platform.supervisor.processes()[part].pid
    os.killpg(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(pid, signal.SIGCONT)


def answers(quick: Any, **asked: Any) -> list[pb.PredictResponse]:
    found = []
    for _ in range(AUCTIONS):
        begin = time.monotonic()
        found.append(quick.Predict(auction(**asked), timeout=5))
        assert time.monotonic() - begin < GENEROUS_S
    return found


def fresh_again(quick: Any) -> None:
    wait_for(lambda: (answer := quick.Predict(auction())).rung == pb.RUNG_FRESH and not answer.away)


def snapshot_of(topic: Topic, signature: Signature, request_id: str) -> Snapshot:
    codec = SnapshotCodec(Contract.union(signature))
    while (found := codec.decode(topic.read(1)[0].value())).request_id != request_id:
        pass
    return found


def test_a_redis_that_stands_still_costs_the_real_time_features(
    platform: Platform, quick: Any, settings: Settings, signature: Signature
) -> None:
    fresh_again(quick)
    topic = Topic(settings, snapshots.TOPIC)
    with standing_still(platform, "valkey"):
        found = answers(quick, user_id="ladder-nobody", request_id="ladder-redis")
        assert {(a.rung, *a.away) for a in found} == {(pb.RUNG_PARTIAL, "redis")}
        assert quick.Predict(auction()).rung == pb.RUNG_CACHED  # its user has been here a moment ago
    logged = snapshot_of(topic, signature, "ladder-redis")
    assert set(logged.rungs.tolist()) == {Rung.PARTIAL}
    assert (logged.shared_status == Status.UNREAD).any()
    assert not (logged.shared_status == Status.UNREAD).all()  # DynamoDB was read
    fresh_again(quick)


def test_a_dynamodb_that_stands_still_costs_no_ad_that_was_read_before(platform: Platform, quick: Any) -> None:
    fresh_again(quick)
    unknown = list(quick.Predict(auction()).unknown_ads)
    with standing_still(platform, "dynamodb"):
        found = answers(quick, user_id="ladder-other")
        assert {(a.rung, *a.away) for a in found} == {(pb.RUNG_PARTIAL, "dynamodb")}
        assert [list(a.unknown_ads) for a in found] == [unknown] * len(found)
    fresh_again(quick)


def test_a_triton_that_stands_still_leaves_recent_scores_and_click_rates(
    platform: Platform, quick: Any, opened: grpc.Channel
) -> None:
    fresh_again(quick)
    with standing_still(platform, "triton"):
        found = answers(quick, user_id="ladder-new")
        assert {(a.rung, *a.away) for a in found} == {(pb.RUNG_PRIOR, "triton")}
        assert {score for a in found for score in a.scores} == {PRIOR}
        assert {a.rung for a in answers(quick)} == {pb.RUNG_CACHED}
        wait_for(lambda: not healthy(opened, FULL))
        assert healthy(opened, SERVICE)  # degraded, and ready all the same
        status = quick.Status(pb.StatusRequest())
        assert status.state == pb.STATE_DEGRADED
        assert "triton" in status.away[0]
    fresh_again(quick)
    wait_for(lambda: healthy(opened, FULL))


def test_a_model_whose_process_was_killed_is_answered_for_and_healed(
    platform: Platform, quick: Any, settings: Settings, opened: grpc.Channel, signature: Signature
) -> None:
    fresh_again(quick)
    name = quick.Status(pb.StatusRequest()).model_version
    number, flavour = parse_triton_model(name)
    fleet.set_loaded(settings, fleet.LoadedModel(name, number, flavour, signature, 0))
    keeper = Keeper(settings, SystemClock(), lambda: platform.kill("triton"))
    try:
        assert not any(name in problem for problem in keeper.look())
        triton = psutil.Process(platform.supervisor.processes()["triton"].pid)
        stubs = [p for p in triton.children(recursive=True) if any(f"/{name}/" in part for part in p.cmdline())]
        assert stubs
        for stub in stubs:
            stub.kill()
        found = answers(quick, user_id="ladder-dead")
        assert {(a.rung, *a.away) for a in found} == {(pb.RUNG_PRIOR, "triton")}
        wait_for(lambda: not healthy(opened, FULL))
        wait_for(lambda: not any(name in problem for problem in keeper.look()))
        fresh_again(quick)
        wait_for(lambda: healthy(opened, FULL))
    finally:
        fleet.forget_loaded(settings, name)
