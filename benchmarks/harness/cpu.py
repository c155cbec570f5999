"""CPU time of process trees, by the kernel's counters.

A part is a root process and all that it started: live descendants are added up, ended ones stand in their parent's
counters once they are reaped. Background work (a broker's timers, a server's polling) goes on whether a request comes
or not, so its rate is measured while nothing is asked for and taken off.
"""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from benchmarks.harness.errors import BenchmarkError


def tree_seconds(pid: int) -> float:
    """User and system seconds that a process and its descendants have used since they started.

    Raises:
        psutil.NoSuchProcess: the root is gone.
    """
    root = psutil.Process(pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            if process.pid == pid:
                raise
            continue  # it ended just now: its time is in its parent's counters at the next reading
        total += times.user + times.system + times.children_user + times.children_system
    return total


class CpuMeter:
    """Reads the CPU time of named process trees.

    Args:
        parts: name to process id of the root.
    """

    def __init__(self, parts: Mapping[str, int]) -> None:
        self.parts = dict(parts)

    def read(self) -> dict[str, float]:
        """Seconds used so far, by part.

        Raises:
            BenchmarkError: a part has died.
        """
        used = {}
        for name, pid in self.parts.items():
            try:
                used[name] = tree_seconds(pid)
            except psutil.NoSuchProcess as error:
                raise BenchmarkError(f"{name} (process {pid}) died while it was measured: see its log") from error
        return used


def rates(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> dict[str, float]:
    """CPU seconds a second, by part."""
    return {name: (after[name] - before[name]) / seconds for name in before}


def per_request(
    before: Mapping[str, float], after: Mapping[str, float], idle: Mapping[str, float], seconds: float, requests: int
) -> dict[str, float]:
    """CPU milliseconds a request, by part, without what the part uses when idle; never below zero.

    Args:
        before, after: CPU seconds at both ends of the window.
        idle: CPU seconds a second when nothing is asked for.
        seconds: wall-clock length of the window.
        requests: answered in it.
    """
    if requests < 1:
        raise BenchmarkError(f"no request was answered in {seconds:.1f} s")
    used = {name: after[name] - before[name] - idle.get(name, 0.0) * seconds for name in before}
    return {name: max(0.0, s) * 1000 / requests for name, s in used.items()}
