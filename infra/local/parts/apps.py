"""Our own programs. They need definitions (and a model) before they can run, so they are started on demand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from infra.local.errors import NotReady
from infra.local.platform.home import Home, program
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports
from streaming.errors import StreamingError
from streaming.kafka_admin import assigned_partitions

SERVICE = "adfeast.v1.Prediction"
OLDEST_MARK_S = 5.0
OLDEST_PASS_S = 10.0


def prediction_server(home: Home, ports: Ports) -> Part:
    """Ready when its gRPC health service says so."""
    address = f"127.0.0.1:{ports.get('prediction_server')}"

    def check() -> None:
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=SERVICE), timeout=2
                )
            except grpc.RpcError as error:
                raise NotReady(str(error)) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise NotReady(f"health is {answer.status}")

    return _app(home, "prediction_server", ["serve"], check, address=address, settings={"grpc_address": address})


def redis_writer(home: Home, ports: Ports, project: str) -> Part:
    """It listens nowhere; ready when its consumer group has been given partitions.

    Kafka counts a killed writer as a member for a few seconds more, and may answer for the dead one as long.
    """
    bootstrap = f"127.0.0.1:{ports.get('kafka')}"

    def check() -> None:
        from streaming.redis_writer.writer import writer_group

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

        file = last_mark(home.root)
        age_s = time.time() - file.stat().st_mtime if file.exists() else math.inf
        if age_s > OLDEST_MARK_S:
            raise NotReady(f"its last time mark is {age_s:.0f} s old")

    return _app(home, "heartbeat", ["stream", "heartbeat"], check)


def reconciler(home: Home) -> Part:
    """It listens nowhere; ready while its last pass is young and found everything as planned."""

    def check() -> None:
        from streaming.reconcile import last_pass

        file = last_pass(home.root)
        age_s = time.time() - file.stat().st_mtime if file.exists() else math.inf
        if age_s > OLDEST_PASS_S:
            raise NotReady(f"its last pass is {age_s:.0f} s old")
        if problem := file.read_text():
            raise NotReady(problem)

    return _app(home, "reconciler", ["stream", "reconcile"], check)


def _app(home: Home, name: str, arguments: list[str], check: Callable[[], None], **more: Any) -> Part:
    """`adfeast ARGUMENTS` with the settings of this home."""
    environment = {"ADFEAST_SETTINGS": str(home.settings_file)}
    command = [program("adfeast"), *arguments]
    return Part(name=name, command=command, environment=environment, check=check, app=True, **more)
