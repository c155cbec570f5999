"""Runs a stream job over what a topic holds and says how fast it was, what it cost and how large its state is.

Progress is what the job, and the writer behind it, have committed to Kafka: that holds for every job and every form of
a row. The clock starts with the first commit of the job, so that neither its start nor the first seconds of a cold JVM
count, and stops with the one that holds the last event; both are as exact as the checkpoint interval.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import redis

from adfeast.settings import Settings
from benchmarks.harness.cpu import CpuMeter
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.stream_events import TOPIC
from streaming.flink_rest import FlinkRest
from streaming.kafka_admin import committed_offsets, end_offsets

POLL_S = 0.2


@dataclass(frozen=True)
class Job:
    """What runs: names of Flink jobs, the consumer groups under which they read, and the topics they write."""

    names: Sequence[str]
    groups: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True)
class StreamResult:
    """One run.

    Attributes:
        events: those between the first and the last commit, which `rate` and `cpu_us` (CPU microseconds an event, by
            part) are about.
        rows: written to the output topics for each event of the topic.
        state_bytes: size of the last checkpoint.
        redis: commands and bytes of memory for each event of the topic; empty without a writer.
    """

    subject: str
    parallelism: int
    events: int
    seconds: float
    rows: float
    state_bytes: int
    cpu_us: dict[str, float] = field(default_factory=dict)
    redis: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu(self) -> float:
        """CPU microseconds an event in all parts."""
        return sum(self.cpu_us.values())


class Runner:
    """Measures jobs on one platform.

    Args:
        pids: parts whose CPU counts.
        deadline_s: after so long a job is given up.
    """

    def __init__(self, settings: Settings, pids: Mapping[str, int], deadline_s: float) -> None:
        self._settings, self._pids, self._deadline_s = settings, pids, deadline_s
        self._rest = FlinkRest(settings.flink_rest)

    def measure(self, subject: str, parallelism: int, job: Job, writer: str | None = None) -> StreamResult:
        """Waits until the running job, and the consumer group `writer` behind it, have caught up.

        Raises:
            BenchmarkError: not in time.
        """
        until = time.monotonic() + self._deadline_s
        total = self._ends([TOPIC])
        before = self._ends(job.outputs)
        redis_before = self._redis() if writer else {}
        first = self._progress(job, 1, until)
        meter = CpuMeter(self._pids)
        used, begin = meter.read(), time.perf_counter()
        self._progress(job, total, until)
        if writer:
            while (done := self._committed(writer, job.outputs)) < (wanted := self._ends(job.outputs)):
                self._check(until, f"{subject}: the writer has {done:,} of {wanted:,} rows")
        seconds, after = time.perf_counter() - begin, meter.read()
        events = total - first
        if events <= 0:
            raise BenchmarkError(f"{subject}: the first checkpoint held all {total:,} events; take more of them")
        return StreamResult(
            subject,
            parallelism,
            events,
            seconds,
            (self._ends(job.outputs) - before) / total,
            self._state_bytes(job),
            {part: (after[part] - used[part]) * 1e6 / events for part in used},
            {name: (value - redis_before[name]) / total for name, value in self._redis().items()} if writer else {},
        )

    def cancel(self, job: Job) -> None:
        """Ends the job."""
        for name in job.names:
            if running := self._rest.alive(name):
                self._rest.cancel(running.id)

    def _progress(self, job: Job, wanted: int, until: float) -> int:
        """Events that all jobs have passed, once they are as many as wanted."""
        while (done := min(self._committed(group, [TOPIC]) for group in job.groups)) < wanted:
            self._check(until, f"{', '.join(job.names)}: {done:,} of {wanted:,} events")
        return done

    def _check(self, until: float, what: str) -> None:
        if time.monotonic() > until:
            raise BenchmarkError(f"after {self._deadline_s:.0f} s {what}")
        time.sleep(POLL_S)

    def _ends(self, topics: Sequence[str]) -> int:
        return sum(end_offsets(self._settings.kafka_bootstrap, topics).values())

    def _committed(self, group: str, topics: Sequence[str]) -> int:
        return sum(committed_offsets(self._settings.kafka_bootstrap, group, topics).values())

    def _state_bytes(self, job: Job) -> int:
        found = [self._rest.alive(name) for name in job.names]
        latest = [self._rest.ask(f"/jobs/{j.id}/checkpoints")["latest"]["completed"] for j in found if j]
        return sum(int(checkpoint["state_size"]) for checkpoint in latest if checkpoint)

    def _redis(self) -> dict[str, float]:
        with redis.Redis(self._settings.redis_host, self._settings.redis_port) as client:
            stats, memory = client.info("stats"), client.info("memory")
            return {"commands": stats["total_commands_processed"], "bytes": memory["used_memory"]}
