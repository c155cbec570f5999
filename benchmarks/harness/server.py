"""A server process of a benchmark: started with a deployment's settings, stopped without a trace."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

from benchmarks.harness.errors import BenchmarkError

READY_S = 90.0
STOP_S = 15.0


def free_address() -> str:
    """host:port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def running(command: Sequence[str], address: str, environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """Runs a gRPC server until the block ends; gives its process id once it accepts connections.

    Raises:
        BenchmarkError: it did not come up; the message ends with its log.
    """
    with log.open("w") as output:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        with grpc.insecure_channel(address) as channel:
            try:
                grpc.channel_ready_future(channel).result(READY_S)
            except grpc.FutureTimeoutError as error:
                raise BenchmarkError(f"{' '.join(command)} is not ready: {log.read_text()[-2000:]}") from error
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
