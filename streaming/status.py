"""What `adfeast stream status` says: jobs against the plan, lag of every reader, completeness of the archive."""

from __future__ import annotations

from dataclasses import dataclass, field

from adfeast.contract.topics import writer_group
from adfeast.settings import Settings
from adfeast.watermarks import archived_until
from streaming.flink_rest import FlinkRest, Job
from streaming.names import LABELS, archive_group
from streaming.plan import Plan, view_of
from streaming.progress import lags
from streaming.running import Found, as_planned, beside, differs, group, running

AS_PLANNED = "RUNNING"


@dataclass(frozen=True)
class StreamStatus:
    """What runs and how far it is.

    Attributes:
        jobs: planned job to its state.
        behind: consumer group to topic to messages it has not committed.
        former: job that still runs beside the planned one of its view to how far the planned one is.
    """

    jobs: dict[str, str]
    behind: dict[str, dict[str, int]]
    archived_until_ms: dict[str, int]
    former: dict[str, str] = field(default_factory=dict)

    @property
    def as_planned(self) -> bool:
        """Whether every job runs under the plan, and no other."""
        return not self.former and all(state == AS_PLANNED for state in self.jobs.values())


def read_status(plan: Plan, settings: Settings) -> StreamStatus:
    """Raises: StreamingError: Flink or Kafka does not answer, or a topic is not there."""
    rest = FlinkRest(settings.flink_rest)
    found = running(plan["project"], rest)
    jobs = {spec["name"]: _state(plan, name, found.get(name, [])) for name, spec in plan["jobs"].items()}
    readers = {archive_group(plan["project"]): sorted(plan["lake"])}
    for name in plan["jobs"]:
        if "view" in plan["jobs"][name]:
            readers |= {group(job): [view_of(plan, name)["topic"]] for job in found.get(name, [])}
        elif name == LABELS:
            readers |= {group(job): plan["labels"]["topics"] for job in found.get(name, [])}
    readers[writer_group(settings.project)] = sorted(v["output"] for v in plan["views"])
    behind = lags(settings, {name: topics for name, topics in readers.items() if topics})
    return StreamStatus(jobs, behind, archived_until(settings), _former(plan, found, rest))


def _state(plan: Plan, name: str, jobs: list[Job]) -> str:
    job = as_planned(plan, name, jobs)
    if job:
        return AS_PLANNED if job.ready else f"{job.state}, {job.running} of {job.tasks} tasks run"
    if jobs:
        return f"{jobs[0].state}, but the definitions have changed: run `adfeast stream submit`"
    return "not running: run `adfeast stream submit`"


def _former(plan: Plan, found: Found, rest: FlinkRest) -> dict[str, str]:
    texts = {}
    for _, new, old in beside(plan, found):
        ahead = [rest.watermark(job.id) for job in (new, old)]
        far = f"{(ahead[1] - ahead[0]) / 1000:.1f} s of event time" if ahead[0] and ahead[1] else "an unknown time"
        texts[f"{old.name}@{old.digest}"] = f"runs until {new.digest}, {far} behind it, has caught up"
    for name in differs(plan, found):
        if name not in plan["jobs"]:
            texts |= {f"{job.name}@{job.digest}": "runs and is planned no more" for job in found[name]}
    return texts
