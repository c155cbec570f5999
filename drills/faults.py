"""What can happen to a part: it stands still, answers slowly, loses a process, or can write no file any more."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psutil

from drills.errors import NotInTime
from infra.local.platform.platform import Platform


@contextmanager
def standing_still(platform: Platform, part: str) -> Iterator[None]:
    """SIGSTOP of a part and its children, as of a machine that swaps or a disk that hangs."""
    group = pid_of(platform, part)
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def slowed(platform: Platform, part: str, seconds: float, still_s: float = 0.1, runs_s: float = 0.005) -> None:
    """Lets a part run for moments only, so that an answer is late by half of `still_s` on the average."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with standing_still(platform, part):
            time.sleep(still_s)
        time.sleep(runs_s)


def kill_model(platform: Platform, name: str) -> None:
    """Kills the process in which Triton runs a model; Triton goes on calling the model ready.

    Raises:
        NotInTime: there is none.
    """
    triton = psutil.Process(pid_of(platform, "triton"))
    found = [p for p in triton.children(recursive=True) if any(f"/{name}/" in part for part in p.cmdline())]
    if not found:
        raise NotInTime(f"Triton has no process for {name}")
    for process in found:
        process.kill()


@contextmanager
def disk_full(pids: Sequence[int]) -> Iterator[None]:
    """No file of these processes can be written any more, as on a full disk; pipes and sockets can."""
    with ExitStack() as stack:
        for pid in pids:
            before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
            stack.callback(_restore, pid, before)
        yield


def _restore(pid: int, limit: tuple[int, int]) -> None:
    if psutil.pid_exists(pid):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


def pid_of(platform: Platform, part: str) -> int:
    """Of a part that runs, which is its process group, too.

    Raises:
        NotInTime: it does not run.
    """
    pid = platform.supervisor.processes()[part].pid
    if not pid:
        raise NotInTime(f"{part} does not run")
    return pid
