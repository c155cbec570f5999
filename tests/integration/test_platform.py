"""The local platform comes up, is watched, and goes down without a trace."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from click.testing import CliRunner, Result

from adfeast.contract.model_names import OUTPUT
from adfeast.contract.signature import TENSORS, Input, Signature
from adfeast.contract.topics import Topic
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings, load_settings
from cli.main import main
from infra.local.errors import PartFailed, PlatformError
from infra.local.parts.dynamodb import local_client
from infra.local.platform.home import Home
from infra.local.platform.part import Part
from infra.local.platform.platform import OPTIONAL, Platform
from infra.local.platform.supervision import leftovers
from infra.local.platform.web import ask
from streaming.kafka_admin import admin, ensure_topics
from tests.integration.echo_model import write_model

SMALL = ("valkey", "dynamodb")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Platform]:
    """Two quick parts that a test may break."""
    with Platform(tmp_path / "home", parts=SMALL) as platform:
        yield platform
    assert leftovers(platform.home) == []


def state(platform: Platform, name: str) -> str:
    return next(s.state for s in platform.status() if s.part.name == name)


def pids(platform: Platform) -> dict[str, int]:
    return {s.part.name: s.pid for s in platform.status()}


def test_committed_offsets_can_be_asked_for_before_the_group_has_a_coordinator(tmp_path: Path) -> None:
    with Platform(tmp_path / "home", parts=["kafka"]) as platform:
        bootstrap = platform.settings.kafka_bootstrap
        ensure_topics(bootstrap, {"fresh": Topic(2)})
        # In a process of its own: what this guards against takes the whole process with it.
        code = "import sys; from streaming.kafka_admin import *; print(committed_offsets(sys.argv[1], 'g', ['fresh']))"
        asked = subprocess.run([sys.executable, "-c", code, bootstrap], capture_output=True, text=True, check=False)
        assert (asked.returncode, asked.stdout) == (0, "{('fresh', 0): 0, ('fresh', 1): 0}\n"), asked.stderr


def test_every_part_is_ready(platform: Platform) -> None:
    optional = {name for name, part in platform.parts.items() if part.app or name in OPTIONAL}
    states = {s.part.name: s.state for s in platform.status()}
    assert {name for name, found in states.items() if found == "ready"} >= set(states) - optional


def test_settings_file_names_the_running_parts(platform: Platform, settings: Settings) -> None:
    # `settings` points ADFEAST_SETTINGS at the platform's file for the session.
    assert load_settings() == settings == platform.settings


def test_topics_follow_the_definitions(settings: Settings) -> None:
    with admin(settings.kafka_bootstrap) as client:
        topics = {t["name"]: t["partitions"] for t in client.describe_topics()}
    definitions = load_definitions(settings)
    streams = [v.name for v in definitions.views.values() if v.kind == "stream"]
    assert streams
    assert all(len(topics[topic]) == 2 for topic in definitions.events)
    wanted = {f"{kind}.{settings.project}.{view}" for kind in ("features", "late") for view in streams}
    assert wanted <= set(topics)


def test_up_again_changes_nothing(platform: Platform) -> None:
    before = pids(platform)
    platform.up()
    assert pids(platform) == before


def test_a_killed_taskmanager_registers_again(platform: Platform) -> None:
    killed = platform.kill("flink_taskmanager")
    platform.wait("flink_taskmanager")
    assert pids(platform)["flink_taskmanager"] not in (0, killed)


def test_a_killed_store_comes_back_with_its_data(small: Platform) -> None:
    with redis.Redis(port=small.settings.redis_port) as client:
        client.set("kept", "1")
        # Valkey writes its log to disk once a second; what it has not yet written may go with it.
        assert client.waitaof(1, 0, 10_000) == [1, 0]
    killed = small.kill("valkey")
    small.wait("valkey")
    assert pids(small)["valkey"] not in (0, killed)
    with redis.Redis(port=small.settings.redis_port) as client:
        assert client.get("kept") == b"1"


def test_data_and_addresses_outlive_down(small: Platform) -> None:
    endpoint = small.settings.dynamodb_endpoint
    assert endpoint is not None
    local_client("dynamodb", endpoint).create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    assert small.down() == []
    assert [s.state for s in small.status() if s.pid] == []
    again = Platform(small.home.root, parts=SMALL).up()
    assert again == small.settings
    assert local_client("dynamodb", endpoint).list_tables()["TableNames"] == ["kept"]


def test_a_part_that_crashes_is_named_with_the_end_of_its_log(small: Platform) -> None:
    small.stop("valkey")
    manifest = next(small.home.data("valkey").rglob("*.manifest"))
    manifest.write_text("this is no manifest\n")
    with pytest.raises(PartFailed, match="valkey") as failure:
        small.start("valkey")
    assert failure.value.part == "valkey"
    assert "manifest" in failure.value.log
    assert state(small, "valkey") == "stopped"
    assert state(small, "dynamodb") == "ready"


def test_down_finds_what_a_killed_supervisor_left(small: Platform) -> None:
    daemon = int((small.home.run / "supervisord.pid").read_text())
    orphans = [psutil.Process(pid) for pid in pids(small).values() if pid]
    os.kill(daemon, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(daemon)] if psutil.pid_exists(daemon) else [], timeout=5)
    assert len(small.down()) == len(orphans) == len(SMALL)
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in orphans)


def test_up_replaces_what_a_killed_supervisor_left(small: Platform) -> None:
    before = {pid for pid in pids(small).values() if pid}
    os.kill(int((small.home.run / "supervisord.pid").read_text()), signal.SIGKILL)
    small.up()
    assert not before & set(pids(small).values())


def test_a_port_taken_by_a_stranger_is_replaced(small: Platform) -> None:
    port = small.settings.redis_port
    small.stop("valkey")
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        settings = Platform(small.home.root, parts=SMALL).up()
    assert settings.redis_port != port
    assert state(Platform(small.home.root), "valkey") == "ready"


def test_s3_holds_the_lake_when_asked_for(tmp_path: Path) -> None:
    with Platform(tmp_path / "home", parts=["s3"]) as platform:
        settings = load_settings(**platform.settings.model_dump())
        assert settings.s3_endpoint is not None
        bucket = settings.lake.removeprefix("s3://").split("/")[0]
        buckets = local_client("s3", settings.s3_endpoint).list_buckets()["Buckets"]
        assert [b["Name"] for b in buckets] == [bucket]


def test_a_long_home_path_still_gets_a_socket(tmp_path: Path) -> None:
    with Platform(tmp_path / ("x" * 120) / "home", parts=["valkey"]) as platform:
        assert state(platform, "valkey") == "ready"


def test_an_unknown_part_is_refused(small: Platform) -> None:
    with pytest.raises(PlatformError, match="there is no part 'redis'"):
        small.stop("redis")


def test_our_programs_need_the_platform_up(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "home")
    app: Part = next(p for p in platform.parts.values() if p.app)
    with pytest.raises(PlatformError, match="adfeast up"):
        platform.start(app.name)


def test_triton_has_its_models_again_after_a_crash(platform: Platform) -> None:
    signature = Signature("twin", (Input("value", "view", "user", "dense", "float32"),))
    triton = f"http://{platform.settings.triton_http}/v2"
    write_model(platform.settings.triton_repository, "twin", signature, signature.hash, seed=1, max_batch=8)
    broken = platform.settings.triton_repository / "broken"
    try:
        ask(f"{triton}/repository/models/twin/load", {}, timeout_s=60)
        # One that cannot be loaded must keep neither the server nor the others down.
        shutil.copytree(platform.settings.triton_repository / "twin", broken)
        next(broken.rglob("model.py")).write_text("import there_is_no_such_module\n")
        platform.kill("triton")
        platform.wait("triton")
        tensor = {"name": TENSORS["dense"], "shape": [1, 1], "datatype": "FP32", "data": [1.0]}
        assert OUTPUT in ask(f"{triton}/models/twin/infer", {"inputs": [tensor]}, timeout_s=60).decode()
    finally:
        ask(f"{triton}/repository/models/twin/unload", {}, timeout_s=60)
        shutil.rmtree(broken, ignore_errors=True)
        shutil.rmtree(platform.settings.triton_repository / "twin")


def test_the_command_line(tmp_path: Path) -> None:
    settings_yaml = tmp_path / "home" / "settings.yaml"

    def adfeast(*args: str) -> Result:
        return CliRunner().invoke(main, list(args), env={"ADFEAST_SETTINGS": str(settings_yaml)})

    try:
        up = adfeast("up", "--part", "valkey")
        assert up.exit_code == 0, up.output
        assert settings_yaml.exists()
        assert re.search(r"valkey +ready +\d+", adfeast("status").output)
        assert "Ready to accept connections" in adfeast("logs", "valkey").output
        assert adfeast("stop", "valkey").exit_code == 0
        assert re.search(r"valkey +stopped", adfeast("status").output)
        next((settings_yaml.parent / "data").rglob("*.manifest")).write_text("this is no manifest\n")
        crash = adfeast("start", "valkey")
        assert crash.exit_code == 1
        assert "part 'valkey' ended while it started" in crash.output
    finally:
        down = adfeast("down")
    assert down.exit_code == 0, down.output
    assert leftovers(Home(settings_yaml.parent)) == []
