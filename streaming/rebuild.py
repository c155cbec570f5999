"""From where a job of a stream view begins when it has no state: what it reads again, and what it writes of that.

A value at time t depends on events between t - horizon and t. So a view that is built again, while its former job goes
on, reads the messages that Kafka wrote since `from - horizon - margin`, where `from` is how far the former job's
watermark is, and writes nothing before `from`: what lies before was written by the former one, to Redis and to the
archive.

No event is missed by that, live or in a replay: an event that the jobs believe lies at most a minute after the time at
which Kafka wrote it, and the margin is longer. Where event times are years before that, as in a replay, everything in
Kafka was written after `from - horizon`, and all of it is read again.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

import redis

from adfeast.access import KafkaAccess, RedisAccess
from adfeast.feast_ext.online_layout import redis_watermarks_key, view_watermark
from adfeast.settings import Settings
from adfeast.watermarks import newest_marks
from streaming.checkpoints import JobState
from streaming.errors import StreamingError
from streaming.flink_rest import FlinkRest, Job
from streaming.kafka_admin import partitions
from streaming.plan import Plan, view_of

log = logging.getLogger(__name__)
# More than a minute (the most that an event lies ahead of Kafka's clock), and enough for the watermark to stand where
# it belongs before the first event that counts: what was late then is late again.
MARGIN_MS = 300_000
# A session may be longer than its gap: one that is running for more than so many gaps is counted from there.
SESSION_GAPS = 4


@dataclass(frozen=True)
class Start:
    """First messages to read, by Kafka's time, and event time of the first values to write; 0: all."""

    lineage: int
    timestamp_ms: int = 0
    from_ms: int = 0

    def to_plan(self) -> Plan:
        """As `streaming.plan.started` takes it."""
        return asdict(self)


def horizon_ms(view: Plan) -> int:
    """How far back the values of a view reach.

    Args:
        view: of a plan; its spec is `column-window-slide_...` in milliseconds, a slide of 0 is a session.
    """
    reach = 0
    for feature in view["spec"].split("_"):
        _, window, slide = map(int, feature.split("-"))
        reach = max(reach, window if slide else SESSION_GAPS * window)
    return reach


def begin(
    settings: Settings, plan: Plan, job: str, former: Job | None, rest: FlinkRest, state: JobState, now_ms: int
) -> Start:
    """How a feature job begins without state.

    Args:
        former: the job of this view that runs now and goes on until the new one has caught up.

    Raises:
        StreamingError: Flink does not answer.
    """
    lineage = state.next_lineage(now_ms)
    view = view_of(plan, job)
    until = _written_until(settings, plan, view, former, rest, state)
    if not until:
        return Start(lineage)
    timestamp = min(until, now_ms) - horizon_ms(view) - MARGIN_MS
    return Start(lineage, max(timestamp, 0), until)


def later_ms(plan: Plan, former: Plan | None) -> int:
    """By how much the watermark of a plan's jobs trails behind that of a former plan's at the same messages."""
    return max(0, int(plan["watermark_delay_ms"]) - int(former["watermark_delay_ms"])) if former else 0


def _written_until(
    settings: Settings, plan: Plan, view: Plan, former: Job | None, rest: FlinkRest, state: JobState
) -> int | None:
    """The event time up to which all values of a view were written, or need not be; None when that is not known."""
    if former and (watermark := rest.watermark(former.id)):
        return watermark - later_ms(plan, state.kept(former.digest, former.lineage))
    if known := published_watermark(settings, view["name"]):
        return known
    if former or state.known():
        return None  # it wrote values, and nobody knows how far
    # A new view: nobody reads what its values were before.
    marks = newest_marks(settings, view["topic"])
    try:
        count = len(partitions(KafkaAccess.of(settings), [view["topic"]]))
    except StreamingError as error:
        log.info("view %s begins with all that its topic holds: %s", view["name"], error)
        return None
    if len(marks) < count:
        return None
    return min(marks.values()) - int(plan["watermark_delay_ms"])


def published_watermark(settings: Settings, view: str) -> int | None:
    """The watermark that Redis holds of a view; None when it holds none or does not answer."""
    try:
        with RedisAccess.of(settings).client(socket_timeout=5, socket_connect_timeout=2) as client:
            return view_watermark(client.hgetall(redis_watermarks_key(settings.project)), view)
    except redis.RedisError as error:
        log.warning("Redis does not say how far view %s is: %s", view, error)
        return None
