"""The names of the stream jobs: in a plan, in Flink and as consumer groups of Kafka. Nobody else spells one.

In Flink a job is `<project>-<job>@<digest>.<tuning>.<lineage>`. Equal digests do the same to the same values, so one
can go on from the other's state; `tuning` is how it is run (parallelism, checkpoints, schemas it reads), for which it
is stopped and goes on; the lineage is when its state was begun from nothing, in milliseconds. A job of features, or of
labels, commits the offsets it has read under `<project>-<job>@<digest>.<lineage>`, so that two of a view that run side
by side are told apart; all archive jobs share one group, since one goes on where the other ended.
"""

from __future__ import annotations

FEATURES, ARCHIVE, LABELS = "features", "archive", "labels"


def features_job(view: str) -> str:
    """The job that keeps a stream view, as plans call it."""
    return f"{FEATURES}-{view}"


def flink_name(project: str, job: str) -> str:
    """What stands before the `@` in Flink."""
    return f"{project}-{job}"


def job_of(project: str, name: str) -> str | None:
    """The inverse of `flink_name`; None for what is no stream job of the project."""
    job = name.removeprefix(f"{project}-")
    # A project's name has no hyphen: `a-features-x` is no job of a project `a-features`.
    ours = job != name and (job in (FEATURES, ARCHIVE, LABELS) or job.startswith(f"{FEATURES}-"))
    return job if ours else None


def archive_group(project: str) -> str:
    """Consumer group of every archive job."""
    return flink_name(project, ARCHIVE)


def features_group(name: str, digest: str, lineage: int) -> str:
    """Consumer group of a job of features, or of labels.

    Args:
        name: as `flink_name` says.
    """
    return f"{name}@{digest}.{lineage}"
