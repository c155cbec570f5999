"""What `adfeast stream status` says: jobs against the plan, lag of every reader, completeness of the archive."""

from __future__ import annotations

from dataclasses import dataclass

from adfeast.settings import Settings
from adfeast.watermarks import archived_until
from streaming.flink_rest import FlinkRest, Job
from streaming.plan import ARCHIVE, FEATURES, Plan, read_topics
from streaming.progress import lag
from streaming.redis_writer.writer import writer_group

AS_PLANNED = "RUNNING"


@dataclass(frozen=True)
class StreamStatus:
    """`jobs`: job to its state; `behind`: consumer group to topic to messages it has not committed."""

    jobs: dict[str, str]
    behind: dict[str, dict[str, int]]
    archived_until_ms: dict[str, int]

    @property
    def as_planned(self) -> bool:
        """Whether every job runs under the plan."""
        return all(state == AS_PLANNED for state in self.jobs.values())


def read_status(plan: Plan, settings: Settings) -> StreamStatus:
    """Raises: StreamingError: Flink or Kafka does not answer, or a topic is not there."""
    rest = FlinkRest(settings.flink_rest)
    jobs = {spec["name"]: _state(rest.alive(spec["name"]), spec["digest"]) for spec in plan["jobs"].values()}
    readers = {
        f"{plan['project']}-{FEATURES}": sorted(read_topics(plan)),
        f"{plan['project']}-{ARCHIVE}": sorted(plan["lake"]),
        writer_group(settings.project): sorted(v["output"] for v in plan["views"]),
    }
    behind = {group: lag(settings, group, topics) for group, topics in readers.items() if topics}
    return StreamStatus(jobs, behind, archived_until(settings))


def _state(found: Job | None, digest: str) -> str:
    if found is None:
        return "not running: run `adfeast stream submit`"
    if found.digest != digest:
        return f"{found.state}, but the definitions have changed: run `adfeast stream submit`"
    return AS_PLANNED if found.ready else f"{found.state}, {found.running} of {found.tasks} tasks run"
