"""The local platform: which parts it has, and how they come up, are watched and go down."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import yaml

from adfeast.access import KafkaAccess
from adfeast.contract.topics import fixed_topics, topics
from adfeast.errors import DefinitionError
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import ROOT, Settings, settings_over
from adfeast.whole_file import replace_text
from infra.local.errors import NotReady, PartFailed, PlatformError
from infra.local.parts.apps import ad_table, heartbeat, model_keeper, prediction_server, reconciler, redis_writer
from infra.local.parts.dynamodb import dynamodb
from infra.local.parts.flink import flink_jobmanager, flink_taskmanager
from infra.local.parts.kafka import kafka
from infra.local.parts.mlflow import mlflow
from infra.local.parts.s3 import s3
from infra.local.parts.triton import triton
from infra.local.parts.valkey import valkey
from infra.local.platform.home import Home
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports
from infra.local.platform.supervision import Process, Supervisor, kill_all, leftovers
from streaming.kafka_admin import ensure_topics

log = logging.getLogger(__name__)
DEFAULT_HOME = ROOT / ".local"
OPTIONAL = ("s3",)
PROJECT: str = Settings.model_fields["project"].default
# Settings of a platform that replays history: no auction waits, and all of it is learnt from.
REPLAY: Mapping[str, object] = {
    "event_max_age_s": None,
    **dict.fromkeys(("redis_budget_ms", "dynamodb_budget_ms", "triton_budget_ms"), 2_000),
}
UP = ("STARTING", "RUNNING")
LOG_LINES = 30

Progress = Callable[[str, float], None]
"""Called with the name of a part that became ready and the seconds it took."""


@dataclass(frozen=True)
class Status:
    """One line of `adfeast status`: `state` is ready, starting, stopped, crashed or why it does not answer."""

    part: Part
    state: str
    pid: int
    uptime_s: int


class Platform:
    """All parts of one machine, under one supervisor.

    Args:
        home: folder for data, logs, generated configuration and `settings.yaml`; created if missing.
        parts: the parts that `up` starts; by default all but our own programs and the S3 endpoint. With `s3` among
            them the lake is a bucket instead of a folder.
        settings: more lines for the home's settings file, where they stay: `REPLAY` for events of the past.
    """

    def __init__(
        self,
        home: Path = DEFAULT_HOME,
        parts: Sequence[str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.home = Home(home.resolve())
        self.home.make()
        self.supervisor = Supervisor(self.home)
        self._own_settings = dict(settings or {})
        self._ports = Ports(self.home.root / "ports", self._runs)
        self.wanted = tuple(parts) if parts else tuple(n for n, p in self.parts.items() if self._by_default(p))
        for name in self.wanted:
            self.part(name)

    @cached_property
    def parts(self) -> dict[str, Part]:
        """Every part by name, in the order in which they start."""
        home, ports = self.home, self._ports
        made = [
            valkey(home, ports),
            kafka(home, ports, self.create_topics),
            dynamodb(home, ports),
            flink_jobmanager(home, ports),
            flink_taskmanager(home, ports),
            triton(home, ports),
            mlflow(home, ports),
            s3(home, ports),
            redis_writer(home, ports, PROJECT),
            heartbeat(home),
            reconciler(home, ports),
            model_keeper(home),
            ad_table(home, PROJECT),
            prediction_server(home, ports, PROJECT),
            prediction_server(home, ports, PROJECT, 2),
        ]
        return {part.name: part for part in made}

    def _by_default(self, part: Part) -> bool:
        return not part.app and part.name not in OPTIONAL

    def part(self, name: str) -> Part:
        """Raises: PlatformError: no part has this name."""
        if name not in self.parts:
            raise PlatformError(f"there is no part {name!r}; parts: {', '.join(self.parts)}")
        return self.parts[name]

    def _runs(self, part: str) -> bool:
        """Whether a part, or its second process behind the same port, runs."""
        return any(p.pid for name, p in self.supervisor.processes().items() if name in (part, f"{part}_2"))

    def _process(self, name: str) -> Process:
        return self.supervisor.processes().get(name) or Process(name, "STOPPED", 0, 0, "")

    @property
    def settings(self) -> Settings:
        """Addresses of the parts and folders of the home, over what else stands in the home's settings file."""
        return settings_over(**self._settings())

    def _settings(self) -> dict[str, object]:
        file, root = self.home.settings_file, self.home.root
        values: dict[str, object] = yaml.safe_load(file.read_text()) or {} if file.exists() else {}
        values |= {
            "local": root,
            "registry_url": f"sqlite:///{self.home.state}/registry.db",
            "ledger_url": f"sqlite:///{self.home.state}/ledger.db",
            "lake": str(root / "lake"),
            "s3_endpoint": None,
            **self._own_settings,
        }
        for part in self.parts.values():
            if part.name not in OPTIONAL or part.name in self.wanted or self._process(part.name).pid:
                values |= part.settings
        return values

    def up(self, progress: Progress = lambda name, seconds: None, *, programs: bool = True) -> Settings:
        """Starts the wanted parts that do not run, waits until each answers a real request, writes the settings file.

        Args:
            programs: then start again those of our programs that were started and not stopped since, in the order of
                the parts, whether the platform went down or the machine did.

        Raises:
            PartFailed: a part ended or did not become ready; the others keep running.
        """
        self.home.make()
        with self._lock():
            if not self.supervisor.running():
                kill_all(leftovers(self.home))
            settings = self.settings
            plain = {k: str(v) if isinstance(v, Path) else v for k, v in self._settings().items()}
            self.home.settings_file.write_text(yaml.safe_dump(plain, sort_keys=True))
            self.supervisor.load(self.parts.values())
            self._start(self.wanted, progress)
            started = self._started() if programs else []
            if started:
                self.create_topics()
                self._start(started, progress)
        return settings

    def down(self) -> list[str]:
        """Stops everything; returns a description of each process that outlived its part and had to be killed."""
        with self._lock():
            for apps in (True, False):
                self.supervisor.stop_all(name for name, part in self.parts.items() if part.app == apps)
            self.supervisor.shutdown()
            left = leftovers(self.home)
            described = [f"{p.pid} {_name(p)}" for p in left]
            kill_all(left)
            self.home.forget_socket()
            return described

    def start(self, name: str, progress: Progress = lambda name, seconds: None) -> None:
        """Starts one part, or one of our programs, and waits until it is ready.

        Raises:
            PlatformError: the platform is down. PartFailed: it did not come up.
        """
        part = self.part(name)
        self._need_supervisor()
        if part.app:
            self.create_topics()
            # Before it is ready, which it may never be until somebody mends what it waits for.
            self._remember({*self._started(), name})
        self._start([name], progress)

    def stop(self, name: str) -> None:
        """Stops one part; harmless if it is down."""
        self._need_supervisor()
        if self.part(name).app:
            self._remember({*self._started()} - {name})
        self.supervisor.stop(name)

    def _started(self) -> list[str]:
        """Our programs that `up` starts again."""
        file = self.home.started
        known = file.read_text().split() if file.exists() else []
        return [name for name, part in self.parts.items() if part.app and name in known]

    def _remember(self, names: Iterable[str]) -> None:
        replace_text(self.home.started, "\n".join(sorted(names)))

    def restart(self, name: str) -> None:
        """Stops and starts one part; its data stay."""
        self.stop(name)
        self.start(name)

    def kill(self, name: str) -> int:
        """Kills a part with its children (SIGKILL), as a crash would; the supervisor starts it again. Returns its pid.

        Raises:
            PlatformError: it does not run.
        """
        pid = self._process(self.part(name).name).pid
        if not pid:
            raise PlatformError(f"part {name!r} does not run, so it cannot be killed")
        os.killpg(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self._process(name).pid == pid and time.monotonic() < deadline:
            time.sleep(0.02)
        return pid

    def wait(self, name: str, timeout_s: float | None = None) -> None:
        """Waits until a part that was killed or restarted answers again.

        Raises:
            PartFailed: it did not within `timeout_s`, or the supervisor gave it up.
        """
        part = self.part(name)
        deadline = time.monotonic() + (timeout_s or part.ready_s)
        while (reason := self._unready(part)) is not None:
            if self._process(name).state == "FATAL" or time.monotonic() > deadline:
                raise self._failure(name, f"did not come back: {reason}")
            time.sleep(0.1)

    def status(self) -> list[Status]:
        """Every part, each that runs asked by a real request."""
        return [self._status(part, self._process(name)) for name, part in self.parts.items()]

    def log(self, name: str, lines: int = LOG_LINES) -> str:
        """The last lines a part wrote."""
        file = self.home.log(self.part(name).name)
        if not file.exists():
            return ""
        with file.open("rb") as source:
            source.seek(max(0, file.stat().st_size - 1000 * lines))
            return "\n".join(source.read().decode(errors="replace").splitlines()[-lines:])

    def create_topics(self) -> list[str]:
        """Creates the Kafka topics that the applied definitions need and that are missing; returns their names."""
        settings = self.settings
        try:
            wanted = topics(load_definitions(settings), settings)
        except DefinitionError as error:
            log.info("only the fixed topics: %s", error)
            wanted = fixed_topics(settings)
        return ensure_topics(KafkaAccess.of(settings), wanted)

    def _start(self, names: Sequence[str], progress: Progress) -> None:
        begin, pids = time.monotonic(), {}
        parts = [p for name, p in self.parts.items() if name in names]
        for part in parts:
            if self._process(part.name).state not in UP:
                part.prepare()
                self.supervisor.start(part.name)
            pids[part.name] = self._process(part.name).pid
        waiting = list(parts)
        while waiting:
            for part in list(waiting):
                process, spent = self._process(part.name), time.monotonic() - begin
                if process.state not in UP or process.pid != pids[part.name]:
                    self.supervisor.stop(part.name)
                    raise self._failure(part.name, f"ended while it started ({process.message})")
                reason = self._unready(part)
                if reason is None:
                    part.setup()
                    waiting.remove(part)
                    progress(part.name, spent)
                elif spent > part.ready_s:
                    raise self._failure(part.name, f"is not ready after {spent:.0f} s: {reason}")
            time.sleep(0.1)

    def _unready(self, part: Part) -> str | None:
        process = self._process(part.name)
        if process.state not in UP:
            return f"it is {process.state.lower()}"
        try:
            part.check()
        except NotReady as error:
            return str(error)
        # A check that asks nothing proves nothing before the supervisor's own second has passed.
        return None if process.state == "RUNNING" else "it is starting"

    def _status(self, part: Part, process: Process) -> Status:
        state = {"STOPPED": "stopped", "FATAL": "crashed", "BACKOFF": "crashed"}.get(process.state, "")
        if not state:
            reason = self._unready(part)
            state = "ready" if reason is None else f"not ready: {reason.splitlines()[0][:80]}"
        return Status(part, state, process.pid, process.uptime_s)

    def _failure(self, name: str, reason: str) -> PartFailed:
        return PartFailed(name, reason, self.log(name))

    def _need_supervisor(self) -> None:
        if not self.supervisor.running():
            raise PlatformError(f"the platform in {self.home.root} is down: run `adfeast up`")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Two `up` or `down` at once would fight over the same processes."""
        with (self.home.root / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.down()


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:120]
    except psutil.Error:
        return "(gone)"
