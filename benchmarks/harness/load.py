"""Puts load on a prediction server with k6 and says what it saw and what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.errors import BenchmarkError

SCRIPT = Path(__file__).with_name("predict.js")


@dataclass(frozen=True)
class Requests:
    """What is asked for: random users, `candidates` random distinct ads each, a random context.

    Attributes:
        contexts: JSON forms of the request's `context` map.
    """

    proto: Path
    method: str
    users: list[str]
    ads: list[str]
    contexts: list[dict[str, Any]]
    candidates: int


@dataclass(frozen=True)
class Load:
    """What the client saw; latencies in milliseconds, `cpu_s` the client's own CPU seconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float


class K6:
    """k6 as it comes with the development dependencies.

    Args:
        folder: where the specification and the summary are written.
    """

    def __init__(self, requests: Requests, folder: Path) -> None:
        self._requests, self._folder = requests, folder
        self._program = Path(sys.executable).with_name("k6")
        if not self._program.exists():
            raise BenchmarkError(f"there is no k6 beside {sys.executable}: install the `dev` extra")

    def run(self, address: str, clients: int, seconds: float, seed: int) -> Load:
        """Closed loop: `clients` ask at once for `seconds`.

        Raises:
            BenchmarkError: k6 ended with an error, or a request failed.
        """
        summary, spec = self._folder / "summary.json", self._folder / "spec.json"
        summary.unlink(missing_ok=True)
        wanted: dict[str, Any] = asdict(self._requests)
        proto: Path = wanted.pop("proto")
        wanted |= {"proto_folder": str(proto.parent), "proto_file": proto.name, "summary": str(summary)}
        wanted |= {"address": address, "clients": clients, "seconds": seconds, "seed": seed}
        spec.write_text(json.dumps(wanted))
        log = self._folder / "k6.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [self._program, "run", "--quiet", "--no-usage-report", "--address", "localhost:0", SCRIPT],
                env=os.environ | {"SPEC": str(spec)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(process.pid, 0)  # the only way to the resources of this one child
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or not summary.exists():
            raise BenchmarkError(f"k6 ended with code {process.returncode}: {log.read_text()[-2000:]}")
        seen = json.loads(summary.read_text())
        if seen.pop("failed"):
            raise BenchmarkError(f"requests to {address} failed: {log.read_text()[-2000:]}")
        return Load(cpu_s=used.ru_utime + used.ru_stime, **seen)
