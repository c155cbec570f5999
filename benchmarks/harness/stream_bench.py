"""The subjects of the stream benchmark, one after the other on one platform."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import uuid
from dataclasses import dataclass, replace

from rich.console import Console

from adfeast.clock import SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EventCodec
from adfeast.contract.topics import Topic, writer_group
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import ROOT, Settings
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.freshness import Freshness, probe
from benchmarks.harness.stream_events import TOPIC, Traffic, send, send_live
from benchmarks.harness.stream_report import DATASTREAM, OURS, TILES, TO_REDIS
from benchmarks.harness.stream_run import Job, Runner, StreamResult
from infra.local.platform.platform import Platform
from streaming.client import Client, Start
from streaming.errors import StreamingError
from streaming.jobs.sql import group
from streaming.kafka_admin import commit_offsets, end_offsets, ensure_topics
from streaming.marks import heartbeat
from streaming.names import ARCHIVE
from streaming.plan import Plan, make_plan

PARTS = ("valkey", "kafka", "dynamodb", "flink_jobmanager", "flink_taskmanager")
WRITER = "redis_writer"
VIEWS = ("user_impression_activity", "ad_impression_activity")
CHECKPOINT_MS = 1_000
SEED = 7


@dataclass(frozen=True)
class Sizes:
    """What is asked of the command line."""

    events: int
    users: int
    ads: int
    density: int
    emit_ms: int
    parallelisms: tuple[int, ...]
    peers: bool
    freshness_s: float
    deadline_s: float


class StreamBenchmark:
    """One platform, its definitions and what was measured on it."""

    def __init__(self, platform: Platform, settings: Settings, sizes: Sizes, show: Console) -> None:
        self.settings, self.sizes, self.show = settings, sizes, show
        self.platform = platform
        known = load_definitions(settings)
        self.definitions: Definitions = replace(known, views={v: known.views[v] for v in VIEWS})
        self.codec = EventCodec(TOPIC, known.events[TOPIC])
        self.results: list[StreamResult] = []
        self.fresh: list[Freshness] = []
        self.keys = 0

    def run(self) -> None:
        """Everything, the cheapest to repeat first."""
        sizes, traffic = self.sizes, Traffic(self.sizes.users, self.sizes.ads)
        self.show.print(f"sending {sizes.events:,} events ...")
        # Their time ends where that of the live events begins.
        begin = SystemClock().now_ms() - 10_000 - sizes.events * 1000 // sizes.density
        self.keys = send(self.settings.kafka_bootstrap, self.codec, traffic, sizes.events, SEED, begin, sizes.density)
        for parallelism in sizes.parallelisms:
            self._ours(OURS, parallelism, 0)
            if sizes.emit_ms:
                self._ours(f"{OURS}, {sizes.emit_ms} ms", parallelism, sizes.emit_ms)
        if sizes.peers:
            for peer in (TILES, DATASTREAM):
                self._peer(peer, sizes.parallelisms[0])
        self._start_writer()
        self._ours(TO_REDIS, sizes.parallelisms[-1], sizes.emit_ms, to_redis=True, traffic=traffic)

    def _start_writer(self) -> None:
        """Behind all that the jobs have written so far."""
        bootstrap = self.settings.kafka_bootstrap
        written = end_offsets(bootstrap, [v["output"] for v in make_plan(self.definitions, self.settings)["views"]])
        commit_offsets(bootstrap, writer_group(self.settings.project), written)
        self.platform.start(WRITER)

    def _ours(
        self, subject: str, parallelism: int, emit_ms: int, *, to_redis: bool = False, traffic: Traffic | None = None
    ) -> None:
        plan = make_plan(
            self.definitions,
            self.settings,
            parallelism=parallelism,
            emit_ms=emit_ms,
            features_checkpoint_ms=CHECKPOINT_MS,
        )
        jobs = self._renamed(plan)
        ensure_topics(self.settings.kafka_bootstrap, {n: Topic(**t) for n, t in plan["topics"].items()})
        with Client(plan, jobs, self.settings) as client:
            client.start([Start(plan, job, None, uuid.uuid4().hex) for job in jobs])
        names, outputs = [plan["jobs"][j]["name"] for j in jobs], [view["output"] for view in plan["views"]]
        job = Job(names, [group(plan, j) for j in jobs], outputs)
        self._measure(subject, parallelism, job, plan if traffic else None, to_redis=to_redis, traffic=traffic)

    def _peer(self, peer: str, parallelism: int) -> None:
        plan = make_plan(self.definitions, self.settings, parallelism=parallelism)
        name = self._renamed(plan)[0]
        outputs = {v["join_key"]: f"bench.{peer}.{v['name']}" for v in plan["views"]}
        ensure_topics(self.settings.kafka_bootstrap, {topic: Topic(1) for topic in outputs.values()})
        request = {
            "plan": plan,
            "job": name,
            "peer": peer,
            "name": plan["jobs"][name]["name"],
            "parallelism": parallelism,
            "checkpoint_ms": CHECKPOINT_MS,
            "views": [{"key": key, "topic": topic} for key, topic in outputs.items()],
        }
        file = self.settings.local / f"{peer}.json"
        file.write_text(json.dumps(request))
        ended = subprocess.run(
            [ROOT / ".local/env/flink/bin/python", "-m", "benchmarks.peers.stream_windows", file],
            cwd=ROOT,
            env=os.environ | {"HADOOP_CLASSPATH": f"{ROOT}/.local/jars/flink/*", "FLINK_LOG_DIR": str(file.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise BenchmarkError(f"the job of {peer} was not accepted: {ended.stderr[-3000:]}")
        self._measure(
            peer, parallelism, Job([plan["jobs"][name]["name"]], [group(plan, name)], list(outputs.values())), None
        )

    @staticmethod
    def _renamed(plan: Plan) -> list[str]:
        """The plan's jobs but the archive, each under a name that nobody has used: they read from the beginning."""
        jobs = [job for job in plan["jobs"] if job != ARCHIVE]
        for job in jobs:
            plan["jobs"][job]["name"] = f"bench-{uuid.uuid4().hex[:8]}-{job}"
        return jobs

    def _measure(
        self,
        subject: str,
        parallelism: int,
        job: Job,
        live: Plan | None,
        *,
        to_redis: bool = False,
        traffic: Traffic | None = None,
    ) -> None:
        running = {s.part.name: s.pid for s in self.platform.status() if s.pid and s.part.name != "dynamodb"}
        pids = {part: pid for part, pid in running.items() if part in (*PARTS, WRITER)}
        runner = Runner(self.settings, pids, self.sizes.deadline_s)
        try:
            result = runner.measure(
                subject, parallelism, job, writer_group(self.settings.project) if to_redis else None
            )
            self.results.append(result)
            self.show.print(
                f"  {subject}, parallelism {parallelism}: {result.rate:,.0f} events/s, {result.cpu:.0f} us CPU an event"
            )
            if live and traffic and self.sizes.freshness_s:
                self._freshness(live, traffic, result.rate / 2)
        except (BenchmarkError, StreamingError) as error:
            self.show.print(f"  {subject}, parallelism {parallelism}: failed: {error}")
        finally:
            runner.cancel(job)

    def _freshness(self, plan: Plan, traffic: Traffic, rate: float) -> None:
        stop = threading.Event()
        bootstrap = self.settings.kafka_bootstrap
        threads = [
            threading.Thread(target=heartbeat, args=(self.settings, lambda: plan, SystemClock(), 1.0, stop)),
            threading.Thread(target=send_live, args=(bootstrap, self.codec, traffic, rate, stop, SEED + 1)),
        ]
        for thread in threads:
            thread.start()
        try:
            probe(self.settings, self.codec, rate, self.sizes.freshness_s / 3)  # until all are warm
            self.fresh.append(probe(self.settings, self.codec, rate, self.sizes.freshness_s))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
