"""Brings the running jobs in line with a plan; safe to run at any time, by anybody, twice.

Only one may do it at a time (a lease of the ledger), and whoever died at it is followed by somebody who goes on from
what is there: jobs that run, checkpoints that are retained. The SQL is planned before anything is stopped.

A job carries its plan's digest in its name. Equal digest and running: left alone. Equal digest and not running: started
from its last retained checkpoint. Another digest:

- `archive` is stopped with a savepoint, which commits all files, and started from it while it reads the same topics;
  with other topics it starts at the offsets of the savepoint, through its consumer group. If it does not run, its
  former plan is started from what it left, only to be stopped so.
- `features` is cancelled and built again from the earliest events: the state of other windows cannot be converted,
  but it follows from the events. Values it emits again are absolute and carry their event time, so Redis, in which the
  newer wins, never goes back; a new feature appears in a key with its first row that is not older than the stored one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass

from adfeast.clock import Clock, SystemClock
from adfeast.contract.event_schemas import mark_readable
from adfeast.contract.topics import Topic
from adfeast.ledger import Claim, Ledger
from adfeast.settings import Settings
from streaming.checkpoints import keep_plan, kept_plan, newest, savepoints
from streaming.client import Client, Start
from streaming.errors import SubmitFailed
from streaming.flink_rest import FlinkRest, Job
from streaming.kafka_admin import commit_offsets, committed_offsets, ensure_topics
from streaming.plan import ARCHIVE, FEATURES, Plan
from streaming.savepoint import source_positions

log = logging.getLogger(__name__)
JOBS = (FEATURES, ARCHIVE)
LEASE = "stream-submit"
WAIT_S = 300.0


@dataclass(frozen=True)
class Action:
    """What was done with a job: `left`, `restored` (from `restore`), `started` or `cancelled`."""

    job: str
    what: str
    restore: str | None = None


def submit(
    plan: Plan, settings: Settings, deadline_s: float = 180.0, *, wait_s: float = WAIT_S, clock: Clock | None = None
) -> list[Action]:
    """Starts what does not run as planned and waits until all tasks run; then producers may write the plan's schemas.

    Args:
        wait_s: how long to wait for somebody else who is at it.

    Raises:
        SubmitFailed: a job cannot be planned (what runs goes on), was not accepted, or its tasks did not run in time.
        RunInProgress: somebody else is still at it.
        LeaseLost: somebody else has taken over; nothing more was stopped or started.
    """
    with Ledger(settings, clock or SystemClock()).lease(LEASE, wait_s) as claim:
        actions = _Submission(plan, settings, claim, deadline_s).run()
        claim.check()
        mark_readable(settings, {e["topic"]: e["schemas"] for e in plan["events"]})
    for action in (a for a in actions if a.what != "left"):
        log.info("job %s-%s: %s %s", plan["project"], action.job, action.what, action.restore or "")
    return actions


def differs(plan: Plan, rest: FlinkRest) -> list[str]:
    """The jobs that do not run as planned, or run and are not planned."""
    found = {job: rest.alive(f"{plan['project']}-{job}") for job in JOBS}
    return [job for job in JOBS if _digest(plan, job) != (running.digest if (running := found[job]) else None)]


def _digest(plan: Plan, job: str) -> str | None:
    digest: str | None = plan["jobs"][job]["digest"] if job in plan["jobs"] else None
    return digest


class _Submission:
    """One pass over all jobs under one claim."""

    def __init__(self, plan: Plan, settings: Settings, claim: Claim, deadline_s: float) -> None:
        self._plan, self._settings, self._claim, self._deadline_s = plan, settings, claim, deadline_s
        self._rest = FlinkRest(settings.flink_rest)

    def run(self) -> list[Action]:
        plan = self._plan
        different = differs(plan, self._rest)
        # What does not run has nothing to lose by a plan that fails later.
        stopping = [j for j in different if j in plan["jobs"] and self._rest.alive(plan["jobs"][j]["name"])]
        actions = [Action(job, "left") for job in JOBS if job in plan["jobs"] and job not in different]
        if different:
            ensure_topics(self._settings.kafka_bootstrap, {n: Topic(**t) for n, t in plan["topics"].items()})
            with Client(plan, stopping, self._settings) as client:
                done = [self._make_room(job) for job in different]
                self._start(plan, client, [a for a in done if a.what != "cancelled"])
            actions += done
        for job in plan["jobs"]:
            self._wait_running(plan, job)
        return sorted(actions, key=lambda a: JOBS.index(a.job))

    def _make_room(self, job: str) -> Action:
        """Stops what runs under another plan; says how the job is to be started."""
        running = self._rest.alive(f"{self._plan['project']}-{job}")
        self._claim.check()
        if job == FEATURES:
            if running:
                self._rest.cancel(running.id)
            if job not in self._plan["jobs"]:
                return Action(job, "cancelled")
            retained = newest(self._plan, job, self._plan["jobs"][job]["digest"])
            return Action(job, "restored", retained.path) if retained and not running else Action(job, "started")
        return self._make_room_for_archive(running)

    def _make_room_for_archive(self, running: Job | None) -> Action:
        plan = self._plan
        savepoint = self._stop(running) if running else None
        # Whatever the job wrote last is what Kafka's offsets and the files of the lake agree with.
        last = newest(plan, ARCHIVE)
        if last is None:
            return Action(ARCHIVE, "started")
        former = plan if last.digest == plan["jobs"][ARCHIVE]["digest"] else kept_plan(plan, ARCHIVE, last.digest)
        if former is None or sorted(former["lake"]) == sorted(plan["lake"]):
            return Action(ARCHIVE, "restored", savepoint or last.path)
        self._commit(former, savepoint or self._close(former, last.path))
        return Action(ARCHIVE, "started")

    def _close(self, former: Plan, path: str) -> str:
        """Commits the files that a former archive job has left open; returns its savepoint."""
        with Client(former, [], self._settings) as client:
            self._start(former, client, [Action(ARCHIVE, "restored", path)])
        return self._stop(self._wait_running(former, ARCHIVE))

    def _commit(self, former: Plan, savepoint: str) -> None:
        """Lets the next archive job begin where the savepoint ends."""
        bootstrap, group = self._settings.kafka_bootstrap, former["jobs"][ARCHIVE]["name"]
        read = source_positions(savepoint, former["lake"].keys() & self._plan["lake"].keys())
        committed = committed_offsets(bootstrap, group, {topic for topic, _ in read})
        behind = {place: offset for place, offset in read.items() if offset > committed[place]}
        if behind:
            log.info("offsets of %s that Kafka was not told of in time: %s", savepoint, behind)
            self._claim.check()
            commit_offsets(bootstrap, group, behind)

    def _stop(self, running: Job) -> str:
        return self._rest.stop(running.id, savepoints(self._plan, ARCHIVE, running.digest))

    def _start(self, plan: Plan, client: Client, actions: list[Action]) -> None:
        for action in actions:
            keep_plan(plan, action.job)
        self._claim.check()
        client.start([Start(a.job, a.restore, self._job_id(plan, a)) for a in actions])

    def _job_id(self, plan: Plan, action: Action) -> str:
        """Two who start the same job after the same others give it the same id, of which Flink accepts one."""
        spec = plan["jobs"][action.job]
        parts = [spec["name"], spec["digest"], action.restore, *self._rest.ended(spec["name"])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _wait_running(self, plan: Plan, job: str) -> Job:
        until = time.monotonic() + self._deadline_s
        spec = plan["jobs"][job]
        while time.monotonic() < until:
            found = self._rest.alive(spec["name"])
            if found is None or found.digest != spec["digest"]:
                raise SubmitFailed(
                    f"job {spec['name']}@{spec['digest']} ended; see its exceptions in Flink's UI at {self._rest.url}"
                )
            if found.ready:
                return found
            time.sleep(0.2)
        raise SubmitFailed(f"job {spec['name']} does not run after {self._deadline_s:.0f} s; see {self._rest.url}")
