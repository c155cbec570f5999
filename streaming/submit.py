"""Brings the running jobs in line with a plan; safe to run at any time, by anybody, twice.

Only one may do it at a time (a lease of the ledger), and whoever died at it is followed by somebody who goes on from
what is there: jobs that run, state that is kept. The SQL is planned before anything is stopped.

A job carries its digest in its name (streaming/names.py). Equal and running: left alone. Equal and not running: started
from its newest checkpoint or savepoint. Equal, but run in another way: stopped with a savepoint and started from it.
Another digest:

- `archive` is stopped with a savepoint, which commits all files, and started from it while it reads the same topics;
  with other topics it starts at the offsets of the savepoint, through its consumer group. If it does not run, its
  former plan is started from what it left, only to be stopped so.
- `labels` is cancelled and begins anew with all that Kafka holds: every row is written again, as the new rules say.
- a view's job is built beside the former one (streaming/rebuild.py), which ends when the new one has caught up
  (streaming/switch.py). If neither runs, both go on from what they left.

State that Flink cannot read is set aside: the job goes on from what was complete before, or without: a view is built
again, the archive goes on at the offsets that it had committed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass

from adfeast.access import KafkaAccess
from adfeast.clock import Clock, SystemClock
from adfeast.contract.topics import Topic
from adfeast.ledger import Claim, Ledger
from adfeast.settings import Settings
from streaming.checkpoints import JobState, Retained
from streaming.client import Client, Start
from streaming.errors import StreamingError, SubmitFailed
from streaming.flink_rest import FlinkRest, Job
from streaming.kafka_admin import commit_offsets, committed_offsets, ensure_topics
from streaming.names import ARCHIVE, LABELS, archive_group, flink_name
from streaming.plan import Plan, started
from streaming.rebuild import Start as Begin
from streaming.rebuild import begin
from streaming.running import as_planned, differs, running, stuck, unreadable
from streaming.savepoint import source_positions
from streaming.switch import Switch, tell_readable

log = logging.getLogger(__name__)
LEASE = "stream-submit"
WAIT_S = 300.0
PASSES = 4  # a second one only after state that could not be read, or that only its own state backend can read
POLL_S = 0.2
# Of a plan: where the parts of the deployment are and how they are reached, not what the jobs do.
ADDRESSES = ("kafka", "kafka_options", "flink_rest", "function_jar", "checkpoints")


@dataclass(frozen=True)
class Action:
    """What was done with a job.

    Attributes:
        what: `left`, `restored` (from `restore`), `started`, `beside` (started; a former one runs until it has caught
            up), `switched` (it has), `cancelled`, `broken` (`restore` could not be read) or `lost` (`archive` goes on
            without its state).
    """

    job: str
    what: str
    restore: str | None = None


def submit(
    plan: Plan,
    settings: Settings,
    deadline_s: float = 180.0,
    *,
    wait_s: float = WAIT_S,
    switch_s: float = WAIT_S,
    clock: Clock | None = None,
) -> list[Action]:
    """Starts what does not run as planned and waits until all tasks run; then producers may write what all can read.

    Args:
        wait_s: how long to wait for somebody else who is at it.
        switch_s: how long to wait until views that are built again have caught up; whoever looks next does the rest.

    Raises:
        SubmitFailed: a job cannot be planned (what runs goes on), was not accepted, or its tasks did not run in time.
        RunInProgress: somebody else is still at it.
        LeaseLost: somebody else has taken over; nothing more was stopped or started.
    """
    rest = FlinkRest(settings.flink_rest)
    with Ledger(settings, clock or SystemClock()).lease(LEASE, wait_s) as claim:
        actions = _Submission(plan, settings, claim, deadline_s, clock or SystemClock()).run()
        claim.check()
        tell_readable(settings, plan, rest)
        for action in (a for a in actions if a.what != "left"):
            log.info("job %s-%s: %s %s", plan["project"], action.job, action.what, action.restore or "")
        switch, until = Switch(settings), time.monotonic() + switch_s
        while switch.waiting(plan) and time.monotonic() < until:
            for job in switch.step(plan, claim):
                actions = [a for a in actions if a.job != job] + [Action(job, "switched")]
            time.sleep(POLL_S)
    return sorted(actions, key=_order)


def _order(action: Action) -> tuple[bool, str]:
    return action.job == ARCHIVE, action.job


@dataclass(frozen=True)
class _Begun:
    """A job to start: `plan` says how it begins, `retained` from what it goes on."""

    plan: Plan
    job: str
    what: str
    retained: Retained | None = None

    @property
    def restore(self) -> str | None:
        return self.retained.path if self.retained else None


class _Submission:
    """Passes over all jobs under one claim."""

    def __init__(self, plan: Plan, settings: Settings, claim: Claim, deadline_s: float, clock: Clock) -> None:
        self._plan, self._settings, self._claim, self._deadline_s = plan, settings, claim, deadline_s
        self._clock = clock
        self._rest = FlinkRest(settings.flink_rest)

    def run(self) -> list[Action]:
        plan, actions = self._plan, list[Action]()
        for _ in range(PASSES):
            found = running(plan["project"], self._rest)
            if broken := stuck(self._rest, found):
                actions += [self._set_aside(*each) for each in broken]
                found = running(plan["project"], self._rest)
            different = differs(plan, found)
            if not different:
                break
            ensure_topics(KafkaAccess.of(self._settings), {n: Topic(**t) for n, t in plan["topics"].items()})
            # What does not run has nothing to lose by a plan that fails later.
            with Client(plan, [j for j in different if j in plan["jobs"] and j in found], self._settings) as client:
                begun = [b for job in different for b in self._make_room(job, found.get(job, []), actions)]
                actions += self._start(client, begun)
        else:
            raise SubmitFailed(f"jobs {', '.join(different)} do not run as planned after {PASSES} attempts: {actions}")
        done = {a.job for a in actions}
        for job in plan["jobs"]:
            self._until_ready(job)
        return actions + [Action(job, "left") for job in plan["jobs"] if job not in done]

    def _make_room(self, job: str, alive: list[Job], actions: list[Action]) -> list[_Begun]:
        """Stops what must not go on; says what is to be started."""
        self._claim.check()
        if job == ARCHIVE:
            return self._room_for_archive(alive)
        if job not in self._plan["jobs"]:
            self._end(job, alive)
            actions.append(Action(job, "cancelled"))
            return []
        return self._room_for_labels(alive) if job == LABELS else self._room_for_view(job, alive)

    def _room_for_view(self, job: str, alive: list[Job]) -> list[_Begun]:
        digest, state = self._plan["jobs"][job]["digest"], self._state(job)
        same = [j for j in alive if j.digest == digest]
        former = [j for j in alive if j.digest != digest]
        self._end(job, former[1:])  # built for definitions that are over already; the oldest one serves
        if as_planned(self._plan, job, same):
            return []
        retained = self._stop(job, same[0]) if same else state.newest(digest)
        if retained:
            begun = [self._resumed(job, retained)]
        else:
            start = begin(
                self._settings, self._plan, job, former[0] if former else None, self._rest, state, self._clock.now_ms()
            )
            what = "beside" if former else "started"
            begun = [_Begun(started(self._plan, job, start.to_plan()), job, what)]
        served = None if alive else state.newest(but=digest)
        if served and (kept := state.kept(served.digest, served.lineage)):
            begun.append(_Begun(self._reachable(kept), job, "restored", served))
        return begun

    def _room_for_labels(self, alive: list[Job]) -> list[_Begun]:
        digest, state = self._plan["jobs"][LABELS]["digest"], self._state(LABELS)
        same = [j for j in alive if j.digest == digest]
        self._end(LABELS, [j for j in alive if j.digest != digest])
        retained = self._stop(LABELS, same[0]) if same else state.newest(digest)
        if retained:
            return [self._resumed(LABELS, retained)]
        start = Begin(state.next_lineage(self._clock.now_ms())).to_plan()
        return [_Begun(started(self._plan, LABELS, start), LABELS, "started")]

    def _room_for_archive(self, alive: list[Job]) -> list[_Begun]:
        plan, state = self._plan, self._state(ARCHIVE)
        # Whatever the job wrote last is what Kafka's offsets and the files of the lake agree with.
        last = self._stop(ARCHIVE, alive[-1]) if alive else state.newest()
        fresh = Begin(state.next_lineage(self._clock.now_ms())).to_plan()
        if last is None and state.known():
            log.error(
                "the archive job has lost its state below %s: it goes on at the offsets that group %s has committed. "
                "Events that it had read since the checkpoint of that commit may be missing or archived twice if the "
                "job died at the very moment of the commit: compare the archive with Kafka for that minute",
                *(state.url, archive_group(plan["project"])),
            )
            return [_Begun(started(plan, ARCHIVE, fresh), ARCHIVE, "lost")]
        if last is None:
            return [_Begun(started(plan, ARCHIVE, fresh), ARCHIVE, "started")]
        former = plan if last.digest == plan["jobs"][ARCHIVE]["digest"] else state.kept(last.digest, last.lineage)
        if former is None or sorted(former["lake"]) == sorted(plan["lake"]):
            return [self._resumed(ARCHIVE, last)]
        self._commit(former, last.path if alive and last.savepoint else self._close(former, last))
        return [_Begun(started(plan, ARCHIVE, fresh), ARCHIVE, "started")]

    def _resumed(self, job: str, retained: Retained) -> _Begun:
        """The planned job, going on from state; it begins as the job did that left it."""
        kept = self._state(job).kept(retained.digest, retained.lineage)
        start = kept["jobs"][job]["start"] if kept else Begin(retained.lineage).to_plan()
        plan = started(self._plan, job, start)
        if kept and kept["state_backend"] != plan["state_backend"] and not retained.savepoint:
            plan = self._reachable(kept)  # another state backend reads only savepoints: the next pass makes one
        return _Begun(plan, job, "restored", retained)

    def _reachable(self, kept: Plan) -> Plan:
        """A plan of before with the addresses of today."""
        return kept | {key: self._plan[key] for key in ADDRESSES}

    def _close(self, former: Plan, retained: Retained) -> str:
        """Commits the files that a former archive job has left open; returns its savepoint."""
        former = self._reachable(former)
        with Client(former, [], self._settings) as client:
            self._start(client, [_Begun(former, ARCHIVE, "restored", retained)])
        alive = running(former["project"], self._rest).get(ARCHIVE, [])
        if not alive:
            raise SubmitFailed(f"the former archive job cannot go on from {retained.path}; submit again")
        stopped = self._stop(ARCHIVE, alive[-1])
        if stopped is None or not stopped.savepoint:
            raise SubmitFailed("the former archive job ended before its files were closed; submit again")
        return stopped.path

    def _commit(self, former: Plan, savepoint: str) -> None:
        """Lets the next archive job begin where the savepoint ends."""
        bootstrap, group = KafkaAccess.of(self._settings), archive_group(former["project"])
        read = source_positions(self._settings, savepoint, former["lake"].keys() & self._plan["lake"].keys())
        committed = committed_offsets(bootstrap, group, {topic for topic, _ in read})
        behind = {place: offset for place, offset in read.items() if offset > committed[place]}
        if behind:
            log.info("offsets of %s that Kafka was not told of in time: %s", savepoint, behind)
            self._claim.check()
            commit_offsets(bootstrap, group, behind)

    def _state(self, job: str) -> JobState:
        return JobState(self._settings, self._plan["checkpoints"], job)

    def _stop(self, job: str, running: Job) -> Retained | None:
        """Ends a job that will go on; returns its savepoint, or what it kept last if its tasks do not run."""
        state = self._state(job)
        try:
            path = self._rest.stop(running.id, state.savepoints(running.digest, running.lineage))
        except StreamingError:
            if any(j.id == running.id and j.ready for j in self._rest.jobs()):
                raise
            # One that waits for slots, or fails, takes no savepoint however long it is asked.
            self._rest.cancel(running.id)
            return state.newest(running.digest)
        return Retained(path, running.digest, running.lineage, 0)

    def _end(self, job: str, jobs: list[Job]) -> None:
        for each in jobs:
            self._rest.cancel(each.id)
            self._state(job).forget(each.digest)

    def _start(self, client: Client, begun: list[_Begun]) -> list[Action]:
        for each in begun:
            self._state(each.job).keep(each.plan, each.job)
        self._claim.check()
        starts = [Start(b.plan, b.job, b.restore, self._job_id(b)) for b in begun]
        refused = client.start(starts)
        return [
            self._begun(each, start.id, refused.get(start.id, "")) for each, start in zip(begun, starts, strict=True)
        ]

    def _begun(self, begun: _Begun, identity: str, refused: str) -> Action:
        """Waits until a job runs.

        Raises:
            SubmitFailed: it does not, and its state is not the reason.
        """
        problem = refused or self._wait_running(identity)
        if not problem:
            return Action(begun.job, begun.what, begun.restore)
        name = flink_name(begun.plan["project"], begun.job)
        if begun.retained is None or not unreadable(problem):
            raise SubmitFailed(f"job {name} does not run; see its exceptions in {self._rest.url}:\n{problem[-4000:]}")
        log.error("job %s cannot go on from %s, which is set aside:\n%s", name, begun.restore, problem[-4000:])
        self._claim.check()
        if any(j.id == identity and j.alive for j in self._rest.jobs()):
            self._rest.cancel(identity)
        self._state(begun.job).set_aside(begun.retained)
        return Action(begun.job, "broken", begun.restore)

    def _set_aside(self, job: str, stuck: Job) -> Action:
        """Ends a job that starts again and again from state that it cannot read, and that state with it."""
        self._claim.check()
        problem, path = self._rest.problem(stuck.id), self._rest.restored(stuck.id)
        self._rest.cancel(stuck.id)
        state = self._state(job)
        tried = Retained(path, stuck.digest, stuck.lineage, 0) if path else state.newest(stuck.digest)
        log.error("job %s cannot go on from %s, which is set aside:\n%s", stuck.name, path or tried, problem[-4000:])
        if tried:
            state.set_aside(tried)
        return Action(job, "broken", path)

    def _job_id(self, begun: _Begun) -> str:
        """Two who start the same job after the same others give it the same id, of which Flink accepts one.

        A JobManager that was started again knows no others, but a TaskManager that lived on refuses the id of a job
        that it had from the one before.
        """
        spec = begun.plan["jobs"][begun.job]
        before = [self._rest.incarnation(), *self._rest.ended(spec["name"])]
        parts = [spec["name"], spec["digest"], spec["tuning"], begun.restore, *before]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _wait_running(self, identity: str) -> str:
        """Until all tasks of a job run; returns why they do not."""
        until = time.monotonic() + self._deadline_s
        while time.monotonic() < until:
            found = next((j for j in self._rest.jobs() if j.id == identity), None)
            if found is None:
                return "the cluster has forgotten it: it was started again"
            if found.ready:
                return ""
            problem = self._problem(identity) if found.state == "RESTARTING" or not found.alive else ""
            if not found.alive or unreadable(problem):
                return problem or f"it is {found.state}"
            time.sleep(POLL_S)
        return f"its tasks do not run after {self._deadline_s:.0f} s"

    def _problem(self, identity: str) -> str:
        try:
            return self._rest.problem(identity)
        except StreamingError as error:
            return str(error)

    def _until_ready(self, job: str) -> None:
        found = as_planned(self._plan, job, running(self._plan["project"], self._rest).get(job, []))
        problem = self._wait_running(found.id) if found else "it has ended"
        if problem:
            raise SubmitFailed(f"job {job} does not run as planned: {problem[-4000:]}; see {self._rest.url}")
