"""Brings the running jobs in line with a plan; safe to run at any time, by anybody, twice.

A job carries its plan's digest in its name. Equal digest and running: left alone. Equal digest and not running: started
from its last retained checkpoint. Another digest:

- `archive` is stopped with a savepoint, which commits all files, and started from it while it reads the same topics;
  with other topics it starts at the offsets that the savepoint committed to its consumer group.
- `features` is cancelled and built again from the earliest events: the state of other windows cannot be converted,
  but it follows from the events. Values it emits again are absolute and carry their event time, so Redis, in which the
  newer wins, never goes back; a new feature appears in a key with its first row that is not older than the stored one.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from adfeast.settings import ROOT, Settings
from streaming.errors import StreamingError, SubmitFailed
from streaming.flink_rest import FlinkRest
from streaming.kafka_admin import ensure_topics
from streaming.plan import ARCHIVE, FEATURES, Plan

log = logging.getLogger(__name__)
JOBS = (FEATURES, ARCHIVE)


@dataclass(frozen=True)
class Action:
    """What was done with a job: `left`, `restored` (from `restore`) or `started`."""

    job: str
    what: str
    restore: str | None = None


def submit(plan: Plan, settings: Settings, deadline_s: float = 180.0) -> list[Action]:
    """Starts what does not run as planned and waits until all tasks run.

    Raises:
        SubmitFailed: a job was not accepted, or its tasks did not run before the deadline.
    """
    rest = FlinkRest(settings.flink_rest)
    ensure_topics(settings.kafka_bootstrap, topics(plan))
    actions = [_prepare(plan, job, rest) for job in JOBS]
    start = [{"job": a.job, "restore": a.restore} for a in actions if a.what != "left"]
    if start:
        _run({"plan": plan, "start": start}, settings)
    for job in JOBS:
        _wait_running(plan, job, rest, deadline_s)
        _remember(plan, job)
    for action in actions:
        log.info("job %s: %s %s", plan["jobs"][action.job]["name"], action.what, action.restore or "")
    return actions


def topics(plan: Plan) -> dict[str, int]:
    """Topics the jobs read and write, with the partitions they get when they are not there yet."""
    found = {e["topic"]: 2 for e in plan["events"]} | {e["dead"]: 1 for e in plan["events"]}
    return found | {v[kind]: 1 for v in plan["views"] for kind in ("output", "late")}


def _prepare(plan: Plan, job: str, rest: FlinkRest) -> Action:
    spec = plan["jobs"][job]
    running = rest.alive(spec["name"])
    if running and running.digest == spec["digest"]:
        return Action(job, "left")
    if not running:
        retained = _retained(plan, job)
        return Action(job, "restored" if retained else "started", retained)
    if job == FEATURES:
        rest.cancel(running.id)
        return Action(job, "started")
    savepoint = rest.stop(running.id)
    previous = _memory(plan, job)
    if previous.exists() and json.loads(previous.read_text())["topics"] == _read_topics(plan):
        return Action(job, "restored", savepoint)
    return Action(job, "started")


def _retained(plan: Plan, job: str) -> str | None:
    """The last retained checkpoint of an equal plan."""
    folder = _folder(plan, job) / plan["jobs"][job]["digest"]
    found = sorted(folder.glob("*/chk-*/_metadata"), key=lambda f: f.stat().st_mtime)
    return f"file://{found[-1].parent}" if found else None


def _remember(plan: Plan, job: str) -> None:
    file = _memory(plan, job)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"topics": _read_topics(plan)}))


def _memory(plan: Plan, job: str) -> Path:
    return _folder(plan, job) / "submitted.json"


def _folder(plan: Plan, job: str) -> Path:
    place = plan["checkpoints"]
    if not place.startswith("file://"):
        raise StreamingError(f"checkpoints must lie in a folder of this machine, not at {place!r}")
    return Path(place.removeprefix("file://")) / job


def _read_topics(plan: Plan) -> list[str]:
    return sorted(plan["lake"])


def _run(request: Plan, settings: Settings) -> None:
    state = settings.local / "state" / "streaming"
    state.mkdir(parents=True, exist_ok=True)
    file = state / "submit.json"
    file.write_text(json.dumps(request, indent=1))
    # The client plans the SQL, so it needs the connectors of the cluster; this variable is Flink's way to add them.
    # It is over before the optimizing compiler has paid for itself.
    java = f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} -XX:TieredStopAtLevel=1".strip()
    environment = os.environ | {
        "HADOOP_CLASSPATH": f"{ROOT}/.local/jars/flink/*",
        "FLINK_LOG_DIR": str(state),
        "JAVA_TOOL_OPTIONS": java,
    }
    python = ROOT / ".local" / "env" / "flink" / "bin" / "python"
    run = subprocess.run(
        [str(python), "-m", "streaming.jobs.start", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=ROOT,
    )
    if run.returncode:
        raise SubmitFailed(f"the stream jobs were not accepted:\n{(run.stdout + run.stderr)[-4000:]}")


def _wait_running(plan: Plan, job: str, rest: FlinkRest, deadline_s: float) -> None:
    until = time.monotonic() + deadline_s
    name = plan["jobs"][job]["name"]
    while time.monotonic() < until:
        found = rest.alive(name)
        if found and found.ready:
            return
        if found is None:
            raise SubmitFailed(f"job {name} ended; see its exceptions in Flink's UI at {rest.url}")
        time.sleep(0.2)
    raise SubmitFailed(f"job {name} does not run after {deadline_s:.0f} s; see {rest.url}")
