"""Our own programs. They need definitions (and a model) before they can run, so they are started on demand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adfeast import fleet
from adfeast.clock import SystemClock
from adfeast.contract.topics import writer_group
from adfeast.settings import Settings
from infra.local.errors import NotReady
from infra.local.platform.home import Home, program
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports
from streaming.errors import StreamingError
from streaming.kafka_admin import assigned_partitions

SERVICE = "adfeast.v1.Prediction"
OLDEST_MARK_S = 5.0
OLDEST_PASS_S = 10.0
OLDEST_LOOK_S = 90.0  # loading a model takes up to a minute
OLDEST_REPORT_MS = 8_000


def prediction_server(home: Home, ports: Ports, project: str, number: int = 1) -> Part:
    """One of two servers behind one address; ready when it reports a model and the address answers.

    The kernel gives a connection to either; when one is killed, the other has the address alone.
    """
    name = "prediction_server" if number == 1 else f"prediction_server_{number}"
    address = f"127.0.0.1:{ports.get('prediction_server')}"
    rest = f"127.0.0.1:{ports.get('prediction_server', 'rest')}"
    settings = Settings(project=project, ledger_url=f"sqlite:///{home.state}/ledger.db")

    def check() -> None:
        mine = [r for r in fleet.servers(settings, SystemClock().now_ms(), OLDEST_REPORT_MS) if r.server == name]
        if not mine or not psutil.pid_exists(mine[0].pid):
            raise NotReady("it has not reported itself")
        if not mine[0].answers:
            raise NotReady("no model answers" + "".join(f"; {problem}" for problem in mine[0].problems))
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=SERVICE), timeout=2
                )
            except grpc.RpcError as error:
                raise NotReady(str(error)) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise NotReady(f"health is {answer.status}")

    own = {
        "ADFEAST_SERVER_NAME": name,
        "ADFEAST_GRPC_SHARED_PORT": "true",
        "ADFEAST_METRICS_PORT": str(ports.get(name, "metrics")),
    }
    listens = {"grpc_address": address, "rest_address": rest}
    return _app(home, name, ["serve"], check, own, address=address, ui=f"http://{rest}/v1/docs", settings=listens)


def redis_writer(home: Home, ports: Ports, project: str) -> Part:
    """It listens nowhere; ready when its consumer group has been given partitions.

    Kafka counts a killed writer as a member for a few seconds more, and may answer for the dead one as long.
    """
    bootstrap = f"127.0.0.1:{ports.get('kafka')}"

    def check() -> None:
        group = writer_group(project)
        try:
            assigned = assigned_partitions(bootstrap, group, patience_s=3)
        except StreamingError as error:
            raise NotReady(str(error)) from error
        if not assigned:
            raise NotReady(f"consumer group {group} has been given no partition")

    return _app(home, "redis_writer", ["stream", "write"], check)


def heartbeat(home: Home) -> Part:
    """It listens nowhere; ready while its last time mark is young."""

    def check() -> None:
        from streaming.marks import last_mark

        _require_young(last_mark(home.root), OLDEST_MARK_S, "time mark")

    return _app(home, "heartbeat", ["stream", "heartbeat"], check)


def reconciler(home: Home, ports: Ports) -> Part:
    """It shows metrics only; ready while its last pass is young and found everything as planned."""

    def check() -> None:
        from streaming.reconcile import last_pass

        file = last_pass(home.root)
        _require_young(file, OLDEST_PASS_S, "pass")
        if problem := file.read_text():
            raise NotReady(problem)

    own = {"ADFEAST_METRICS_PORT": str(ports.get("reconciler", "metrics"))}
    return _app(home, "reconciler", ["stream", "reconcile"], check, own)


def model_keeper(home: Home) -> Part:
    """It listens nowhere; ready while its last look at the models is young, whatever it found."""

    def check() -> None:
        from registry.keeper import last_look

        _require_young(last_look(home.root), OLDEST_LOOK_S, "look")

    return _app(home, "model_keeper", ["model", "keep", "--restart-local"], check)


def ad_table(home: Home, project: str) -> Part:
    """It listens nowhere; ready when the table of ads has caught up and its last turn is young."""
    folder = home.state / "ads"

    def check() -> None:
        from serving.ads.files import sign_of

        sign = sign_of(folder, project)
        if sign is None or sign.text:
            raise NotReady(sign.text if sign else "it has not begun")

    return _app(home, "ad_table", ["ads", "keep"], check, settings={"ad_table": str(folder)})


def _require_young(file: Path, oldest_s: float, what: str) -> None:
    """A program that listens nowhere touches a file with each `what` of its work."""
    age_s = time.time() - file.stat().st_mtime if file.exists() else math.inf
    if age_s > oldest_s:
        raise NotReady(f"its last {what} is {age_s:.0f} s old")


def _app(
    home: Home,
    name: str,
    arguments: list[str],
    check: Callable[[], None],
    own: Mapping[str, str] | None = None,
    **more: Any,
) -> Part:
    """`adfeast ARGUMENTS` with the settings of this home, and some of its own."""
    environment = {"ADFEAST_SETTINGS": str(home.settings_file), **(own or {})}
    command = [program("adfeast"), *arguments]
    return Part(name=name, command=command, environment=environment, check=check, app=True, **more)
