"""Says how far the archive is, by the time marks that it has passed (adfeast/watermarks.py).

The archive watermark of a topic is the smallest over its partitions of the newest mark that lies below the offset up to
which the archive job has read and committed, less the time by which events may come late.

Files and offsets of a checkpoint are committed side by side: offsets that are seen do not mean that the files are. But
a later checkpoint begins only after both. So what follows from the offsets seen at one time is published when a
checkpoint that began after it is complete.
"""

from __future__ import annotations

from adfeast.access import KafkaAccess
from adfeast.clock import Clock, SystemClock
from adfeast.settings import Settings
from adfeast.watermarks import marks_below, publish
from streaming.flink_rest import FlinkRest
from streaming.kafka_admin import Offsets, committed_offsets
from streaming.names import archive_group
from streaming.plan import Plan, event_topics
from streaming.progress import wait_archived

SKEW_MS = 500  # by which the JobManager's clock may go ahead of ours


class ArchiveProgress:
    """Publishes the watermarks of one deployment step by step, without ever waiting."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rest = FlinkRest(settings.flink_rest)
        self._seen: tuple[int, dict[str, int]] | None = None

    def step(self, plan: Plan, now_ms: int) -> dict[str, int]:
        """What was published, topic to milliseconds; empty while no checkpoint follows what was seen last.

        Args:
            plan: that of the archive job that runs.

        Raises:
            StreamingError: Kafka or Flink does not answer.
        """
        published: dict[str, int] = {}
        if self._seen and self._began(plan) > self._seen[0] + SKEW_MS:
            published, self._seen = self._seen[1], None
            publish(self._settings, published, now_ms)
        if self._seen is None:
            topics, group = event_topics(plan), archive_group(plan["project"])
            offsets = committed_offsets(KafkaAccess.of(self._settings), group, topics)
            self._seen = now_ms, watermarks(self._settings, plan, offsets)
        return published

    def _began(self, plan: Plan) -> int:
        """When the last complete checkpoint of the archive job began; 0 while there is none."""
        job = self._rest.alive(archive_group(plan["project"]))
        done = self._rest.completed_checkpoint(job.id) if job else None
        return done[1] if done else 0


def publish_watermarks(
    settings: Settings, plan: Plan, deadline_s: float = 120.0, clock: Clock | None = None
) -> dict[str, int]:
    """Waits until everything that the event topics hold now is archived, then publishes and returns the watermarks.

    Raises:
        NotCaughtUp: not before the deadline.
    """
    archived = wait_archived(settings, event_topics(plan), deadline_s, clock)
    found = watermarks(settings, plan, archived)
    publish(settings, found, (clock or SystemClock()).now_ms())
    return found


def watermarks(settings: Settings, plan: Plan, archived: Offsets) -> dict[str, int]:
    """Topic to its watermark when everything below these offsets is archived; a topic without marks has none.

    Args:
        archived: (topic, partition) to offset, of all partitions.
    """
    marks = marks_below(settings, archived)
    found: dict[str, int] = {}
    for topic in event_topics(plan):
        places = [place for place in archived if place[0] == topic]
        if places and all(place in marks for place in places):
            found[topic] = min(marks[place] for place in places) - plan["watermark_delay_ms"]
    return found
