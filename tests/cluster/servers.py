"""Servers of a test: each a process of its own with a log, waited for until it answers, and none of them left."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local.errors import NotReady
from infra.local.platform.home import Home
from infra.local.platform.part import Part
from infra.local.platform.ports import is_free
from infra.local.platform.supervision import MARK, kill_all, leftovers

READY_S = 120.0
LOG_LINES = 30
# They live for a minute or two: compiling what will not run again would cost more than it saves.
BRIEF = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"


class Servers:
    """Up in the block; nothing that they started outlives it.

    Args:
        folder: for their files and logs; its path is the mark in their environment by which they are found.
    """

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.home.make()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Starts one; `wait` says when it serves."""
        given = os.environ | {MARK: str(self.home.root), "JAVA_TOOL_OPTIONS": brief_java()} | dict(environment or {})
        with self.home.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env=given,
                cwd=self.home.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        said(f"{name} started")

    def run(self, part: Part) -> None:
        """Starts a part of the platform."""
        part.prepare()
        self.start(part.name, part.command, part.environment)

    def wait(self, what: str, check: Callable[[], None], timeout_s: float = READY_S) -> None:
        """Returns when `check` no longer raises NotReady."""
        begin = time.monotonic()
        while True:
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended while {what} was waited for:\n{self.log(name)}"
            try:
                check()
            except NotReady as error:
                reason = str(error)
            else:
                said(f"{what} after {time.monotonic() - begin:.0f} s")
                return
            logs = "\n".join(f"{name}: {self.log(name)}" for name in self._processes)
            assert time.monotonic() - begin < timeout_s, f"{what}: {reason}\n{logs}"
            time.sleep(0.2)

    def kill(self, name: str) -> None:
        """As a machine dies."""
        _kill(self._processes.pop(name))
        said(f"{name} killed")

    def log(self, name: str) -> str:
        lines = self.home.log(name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for process in self._processes.values():
            _kill(process)
        # What has left its parent's group.
        kill_all(leftovers(self.home))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With what it has started itself, such as Spark's executors."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def brief_java() -> str:
    """JAVA_TOOL_OPTIONS of a process that lives for a minute or two."""
    return f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} {BRIEF}".strip()


def answers(host_port: str) -> Callable[[], None]:
    """A check that somebody accepts connections."""
    host, _, port = host_port.rpartition(":")

    def check() -> None:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError as error:
            raise NotReady(str(error)) from error

    return check


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has, outside of those that outgoing connections take."""
    found: Iterable[int] = (p for p in random.sample(range(20_000, 32_000), 2_000) if is_free(p))
    return [port for port, _ in zip(found, range(count), strict=False)]


def said(text: str) -> None:
    """Shows progress: `make cluster-test` does not capture it."""
    sys.stderr.write(f"  .. {text}\n")
    sys.stderr.flush()
