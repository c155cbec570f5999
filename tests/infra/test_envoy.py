"""Envoy itself reads the proxies' configuration, and sends a user's calls to one server while that one is well."""

from __future__ import annotations

import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serving.api import SERVICE
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc
from tests.infra.manifests import BIN, OVERLAYS, SOURCES, rendered

CONFIG = SOURCES / "base" / "envoy.yaml"
ENVOY = BIN / "envoy"
HEADER = "x-user-id"
USERS = [f"user-{n}" for n in range(40)]


def validated(file: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ENVOY), "--mode", "validate", "--config-path", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_envoy_accepts_its_configuration() -> None:
    done = validated(CONFIG)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("lb_policy: RING_HASH", "lb_policy: RING_HASHES", "RING_HASHES"),
        ("hash_policy:", "hash_policies:", "hash_policies"),
        ("cluster: servers\n", "cluster: server\n", "server"),
        ("minimum_ring_size: 8192", "minimum_ring_size: 83886080", "ring"),
    ],
)
def test_envoy_refuses_a_mistake(tmp_path: Path, right: str, wrong: str, reason: str) -> None:
    text = CONFIG.read_text()
    assert right in text
    (tmp_path / "envoy.yaml").write_text(text.replace(right, wrong, 1))
    done = validated(tmp_path / "envoy.yaml")
    assert done.returncode != 0
    assert reason in done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_runs_is_the_version_that_was_asked_and_the_file_that_was_read(manifest_tree: Path, overlay: str) -> None:
    objects = rendered(manifest_tree, overlay)
    proxy = next(o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"] == "proxy")
    image = proxy["spec"]["template"]["spec"]["containers"][0]["image"]
    said = subprocess.run([str(ENVOY), "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"/(\d+\.\d+\.\d+)/", said)
    assert version
    assert f":distroless-v{version[1]}@" in image
    maps = {o["metadata"]["name"]: o for o in objects if o["kind"] == "ConfigMap"}
    mounted = proxy["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
    assert maps[mounted]["data"]["envoy.yaml"] == CONFIG.read_text()


class Server(pb_grpc.PredictionServicer):
    """A prediction server that answers with its own name."""

    def __init__(self, name: str) -> None:
        self.name, self.port = name, 0
        self.health = health.HealthServicer()
        self.server = grpc.server(ThreadPoolExecutor(4))
        pb_grpc.add_PredictionServicer_to_server(self, self.server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        self.well(True)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def well(self, well: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if well else health_pb2.HealthCheckResponse.NOT_SERVING
        self.health.set(SERVICE, status)

    def Predict(self, _request: pb.PredictRequest, _context: object) -> pb.PredictResponse:  # noqa: N802
        return pb.PredictResponse(model_version=self.name)


def moved(config: dict[str, Any], ports: dict[str, int], servers: list[Server]) -> dict[str, Any]:
    """The configuration on this machine's ports, with these servers; all else is as it is."""
    resources = config["static_resources"]
    for listener in resources["listeners"]:
        listener["address"]["socket_address"].update(address="127.0.0.1", port_value=ports[listener["name"]])
    upstream, admin = resources["clusters"]
    upstream["type"] = "STATIC"
    upstream["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": s.port}}}} for s in servers
    ]
    for place in (config["admin"], admin["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]):
        place["address"]["socket_address"]["port_value"] = ports["admin"]
    return config


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    made = [Server(name) for name in ("a", "b", "c")]
    yield made
    for server in made:
        server.server.stop(None)


@pytest.fixture(scope="module")
def proxy(servers: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    folder = tmp_path_factory.mktemp("envoy")
    ports = {name: free_port() for name in ("grpc", "watch", "admin")}
    config = moved(yaml.safe_load(CONFIG.read_text()), ports, servers)
    (folder / "envoy.yaml").write_text(yaml.safe_dump(config))
    command = [str(ENVOY), "--config-path", str(folder / "envoy.yaml"), "--concurrency", "1", "--disable-hot-restart"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _until(lambda: _ready(ports["watch"]), lambda: (folder / "log").read_text())
        yield ports
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _until(done: Any, why: Any, patience_s: float = 30) -> None:
    until = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < until, why()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def ask(proxy: dict[str, int]) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{proxy['grpc']}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = pb_grpc.PredictionStub(channel)  # type: ignore[no-untyped-call]

        def call(user: str = "") -> str:
            metadata = [(HEADER, user)] if user else []
            request = pb.PredictRequest(user_id=user)
            return str(stub.Predict(request, metadata=metadata, timeout=5, wait_for_ready=True).model_version)

        yield call


def test_a_user_stays_with_one_server_and_users_are_spread(ask: Any) -> None:
    first = {user: ask(user) for user in USERS}
    assert {user: ask(user) for user in USERS} == first
    assert set(first.values()) == {"a", "b", "c"}


def test_a_call_without_a_user_is_answered_by_any(ask: Any) -> None:
    assert {ask() for _ in range(60)} == {"a", "b", "c"}


def test_users_of_a_server_that_is_not_ready_move_and_most_others_stay(ask: Any, servers: list[Server]) -> None:
    before = {user: ask(user) for user in USERS}
    servers[0].well(False)
    try:
        _until(lambda: all(ask(user) != "a" for user in USERS), lambda: "users stay with a server that is not ready")
        after = {user: ask(user) for user in USERS}
    finally:
        servers[0].well(True)
    others = {user for user in USERS if before[user] != "a"}
    # The ring has a fixed size: of two servers each gets more of it than of three, from the other too.
    assert len({user for user in others if after[user] != before[user]}) <= len(others) / 3
    _until(lambda: {user: ask(user) for user in USERS} == before, lambda: "users do not come back")


def test_metrics_can_be_read_and_the_admin_interface_cannot(proxy: dict[str, int]) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy['watch']}/stats/prometheus", timeout=5) as answer:
        assert b"envoy_cluster_upstream_rq_total" in answer.read()
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{proxy['watch']}/quitquitquit", timeout=5)
