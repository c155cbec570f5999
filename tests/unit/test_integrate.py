"""The examples of docs/integrate.md do what they say, against a server with the repository's own definitions."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from adfeast.feast_ext.repo import declared
from adfeast.settings import ROOT, Settings
from tests.unit.serving.fronts import both

GUIDE = (ROOT / "docs" / "integrate.md").read_text()
EXAMPLES = dict(re.findall(r"^```\w+ (\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))


@dataclass(frozen=True)
class Running:
    """Where the server is, and what Kafka was given: (topic, key) each."""

    environment: dict[str, str]
    messages: list[tuple[str, bytes, bytes]]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """In a thread of its own; its clock stands at the time of the start."""
    found = declared(Settings())
    definitions = replace(found, services={"service": found.services[Settings().feature_service]})
    ready, stop, made = threading.Event(), threading.Event(), list[Running]()

    async def serve() -> None:
        async with both(definitions) as opened:
            opened.server.clock.ms = time.time_ns() // 1_000_000
            environment = {
                "GRPC": opened.address,
                "REST": opened.rest.url,
                "CHECKOUT": str(ROOT),
                "PYTHONPATH": str(ROOT),
            }
            made.append(Running(os.environ | environment, opened.kafka.messages))
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(30)
    yield made[0]
    stop.set()
    thread.join(10)


def output(server: Running, *command: str | Path) -> str:
    done = subprocess.run(command, env=server.environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or pytest.skip(f"there is no {name} here")


def test_curl_scores_and_reports(server: Running) -> None:
    tool("curl")
    server.messages.clear()
    said = output(server, "bash", "-euo", "pipefail", "-c", EXAMPLES["curl"])
    assert '"scores": [{"ad_id": "a1", "predicted_ctr": ' in said
    assert said.count('{"status": "ok", "accepted": 1}') == 2
    assert [(topic, key) for topic, key, _ in server.messages] == [("impressions", b"u1"), ("clicks", b"u1")]


def test_grpcurl_scores(server: Running) -> None:
    tool("grpcurl")
    assert '"scores"' in output(server, "bash", "-euo", "pipefail", "-c", EXAMPLES["grpcurl"])


def test_the_client_scores_and_reports(server: Running) -> None:
    server.messages.clear()
    said = output(server, sys.executable, "-c", EXAMPLES["python"])
    assert said.count(",") == 1
    assert [(topic, key) for topic, key, _ in server.messages] == [("impressions", b"u1")]


def test_k6_scores_both_ways(server: Running, tmp_path: Path) -> None:
    script = tmp_path / "integrate.js"
    script.write_text(EXAMPLES["k6"])
    output(server, tool("k6"), "run", "--quiet", "--no-usage-report", "--address", "localhost:0", script)


def test_what_is_not_run_is_marked() -> None:
    languages = set(re.findall(r"^```(\w+)\n", GUIDE, re.MULTILINE))
    assert EXAMPLES.keys() == {"curl", "grpcurl", "python", "k6"}
    for language in languages:
        assert re.search(rf"^## {language} \(\*not run\*\)$", GUIDE, re.MULTILINE | re.IGNORECASE)
