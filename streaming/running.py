"""What runs, held against a plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from streaming.flink_rest import FlinkRest, Job
from streaming.names import ARCHIVE, LABELS, features_group, job_of
from streaming.plan import Plan

Found = dict[str, list[Job]]
# In an exception of Flink when it is the state that is at fault, and not the cluster.
UNREADABLE = (
    "FileNotFoundException",
    "NoSuchFileException",
    "Could not restore",
    "Failed to rollback to checkpoint",
    "Cannot map checkpoint",
    "StateMigrationException",
    "Unexpected magic number",
    "RuntimeException: java.io.EOFException",  # the JobManager's, of metadata that were cut off
)


def running(project: str, rest: FlinkRest) -> Found:
    """Job of a plan to those in Flink that run or try to, the oldest first.

    Raises:
        StreamingError: Flink does not answer.
    """
    found: Found = defaultdict(list)
    for job in reversed(rest.jobs()):
        name = job_of(project, job.name)
        if name is not None and job.alive:
            found[name].append(job)
    return dict(found)


def as_planned(plan: Plan, name: str, jobs: list[Job]) -> Job | None:
    """The one that runs just as planned."""
    spec = plan["jobs"].get(name, {"digest": "", "tuning": ""})
    return next((j for j in jobs if (j.digest, j.tuning) == (spec["digest"], spec["tuning"])), None)


def differs(plan: Plan, found: Found) -> list[str]:
    """The jobs for which something must be started or stopped: planned and not running so, or running and not planned.

    A former job of a view whose planned one runs beside it is left to the switch (streaming/switch.py).
    """
    wrong = [name for name in plan["jobs"] if as_planned(plan, name, found.get(name, [])) is None]
    too_many = [name for name, jobs in found.items() if len(jobs) > (1 if name in (ARCHIVE, LABELS) else 2)]
    return sorted({*wrong, *too_many, *(found.keys() - plan["jobs"].keys())})


def beside(plan: Plan, found: Found) -> Iterator[tuple[str, Job, Job]]:
    """(job, the planned one, the former one) of each view that is being built again."""
    for name in (name for name in plan["jobs"] if name != LABELS):
        jobs = found.get(name, [])
        new = as_planned(plan, name, jobs)
        if new:
            yield from ((name, new, old) for old in jobs if old.digest != new.digest)


def group(job: Job) -> str:
    """Consumer group under which a job of features, or of labels, commits what it has read."""
    return features_group(job.name, job.digest, job.lineage)


def unreadable(problem: str) -> bool:
    """Whether an exception says that a job cannot go on from its state, however often it tries."""
    return any(sign in problem for sign in UNREADABLE)


def stuck(rest: FlinkRest, found: Found) -> list[tuple[str, Job]]:
    """The jobs that start again and again from state that cannot be read.

    Raises:
        StreamingError: Flink does not answer.
    """
    restarting = [(name, job) for name, jobs in found.items() for job in jobs if job.state == "RESTARTING"]
    return [(name, job) for name, job in restarting if unreadable(rest.problem(job.id))]
