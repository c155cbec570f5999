"""Four numbers a stream view for whoever is on call: how old it is, what share is late or dead, how far behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis

from adfeast.access import KafkaAccess, RedisAccess
from adfeast.contract.definitions import Definitions
from adfeast.contract.freshness import FRESH_WITHIN_S, MOST_REFUSED, is_stale
from adfeast.contract.topics import dead_letter_topic, writer_group
from adfeast.feast_ext.online_layout import redis_watermarks_key, view_watermark
from adfeast.settings import Settings
from streaming.errors import StreamingError
from streaming.kafka_admin import Counted, counted
from streaming.plan import Plan

LAST_MS = 60_000


@dataclass(frozen=True)
class ViewHealth:
    """What is known of one view.

    Attributes:
        age_s: how far its watermark in Redis lies behind the clock, None while none is known.
        stale: whether the servers serve its values as stale to whoever asks now.
        fresh_within_s: what it promises, stretched by `replay_speed`.
        events, late, dead: messages of the last minute: of its event topic (time marks among them), behind its
            watermark, and not readable (events, and rows of its feature topic).
        job_behind, writer_behind: messages that its job, and the Redis writer, have still to read.
    """

    view: str
    age_s: float | None
    stale: bool
    fresh_within_s: float
    events: int
    late: int
    dead: int
    job_behind: int
    writer_behind: int

    @property
    def late_share(self) -> float:
        """Of the last minute's events."""
        return self.late / max(1, self.events)

    @property
    def dead_share(self) -> float:
        """Of the last minute's events."""
        return self.dead / max(1, self.events)

    @property
    def refused_too_often(self) -> bool:
        """Whether so many are late or not readable that somebody must look: a clock, a schema, a network."""
        return self.late_share + self.dead_share > MOST_REFUSED

    @property
    def text(self) -> str:
        """One line for people."""
        age = "no watermark" if self.age_s is None else f"watermark {self.age_s:.1f} s old"
        return (
            f"{age} (promised {self.fresh_within_s:g} s), {self.late_share:.1%} late and {self.dead_share:.1%} dead of "
            f"{self.events} in the last minute, {self.job_behind} and {self.writer_behind} behind"
        )


@dataclass(frozen=True)
class ViewTopics:
    """The topics of one view: what it reads, writes and puts aside."""

    view: str
    events: str
    values: str
    late: str
    dead: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (self.events, self.values, self.late, *self.dead)


def view_topics(plan: Plan) -> list[ViewTopics]:
    """Of every view of the plan, in its order."""
    return [
        ViewTopics(
            v["name"],
            v["topic"],
            v["output"],
            v["late"],
            (dead_letter_topic(v["topic"]), dead_letter_topic(v["output"])),
        )
        for v in plan["views"]
    ]


def watermarks(settings: Settings, views: Sequence[str]) -> dict[str, int | None]:
    """The watermark of each view as Redis has it, in milliseconds since 1970; None where none is known.

    Raises:
        StreamingError: Redis does not answer.
    """
    access = RedisAccess.of(settings)
    try:
        with access.client(socket_timeout=2, socket_connect_timeout=2) as client:
            stored = client.hgetall(redis_watermarks_key(settings.project))
    except redis.RedisError as error:
        raise StreamingError(f"Redis at {access} does not say how far the views are: {error}") from error
    return {view: view_watermark(stored, view) for view in views}


def read_health(
    plan: Plan, definitions: Definitions, settings: Settings, behind: Mapping[str, Mapping[str, int]], now_ms: int
) -> list[ViewHealth]:
    """Every view of the plan.

    Args:
        behind: consumer group to topic to messages not read yet, as `streaming.status.read_status` says.

    Raises:
        StreamingError: Kafka or Redis does not answer, or a topic is not there.
    """
    topics = view_topics(plan)
    known = watermarks(settings, [t.view for t in topics])
    found = counted(KafkaAccess.of(settings), {name for t in topics for name in t.all}, now_ms - LAST_MS)
    return [_health(plan, definitions, settings, t, known[t.view], found, behind, now_ms) for t in topics]


def _health(
    plan: Plan,
    definitions: Definitions,
    settings: Settings,
    topics: ViewTopics,
    watermark: int | None,
    found: Mapping[str, Counted],
    behind: Mapping[str, Mapping[str, int]],
    now_ms: int,
) -> ViewHealth:
    within_s = fresh_within_s(definitions, topics.view)
    job, writer = readers_behind(plan, settings, topics, behind)
    return ViewHealth(
        view=topics.view,
        age_s=None if watermark is None else (now_ms - watermark) / 1000,
        stale=is_stale(watermark, now_ms, within_s, settings.replay_speed),
        fresh_within_s=within_s * settings.replay_speed,
        events=found[topics.events].since,
        late=found[topics.late].since,
        dead=sum(found[t].since for t in topics.dead),
        job_behind=job,
        writer_behind=writer,
    )


def fresh_within_s(definitions: Definitions, view: str) -> int:
    """What a view promises, as it is applied now: the plan may be older."""
    applied = definitions.views.get(view)
    return (applied.fresh_within_s if applied else None) or FRESH_WITHIN_S


def readers_behind(
    plan: Plan, settings: Settings, topics: ViewTopics, behind: Mapping[str, Mapping[str, int]]
) -> tuple[int, int]:
    """Messages that the view's job and the Redis writer have still to read."""
    jobs = [s["name"] for s in plan["jobs"].values() if s.get("view") == topics.view]
    # A group may say behind the job's name which of several that follow each other it is.
    mine = [
        n.get(topics.events, 0)
        for group, n in behind.items()
        if any(group == j or group.startswith(f"{j}@") for j in jobs)
    ]
    return max(mine, default=0), behind.get(writer_group(settings.project), {}).get(topics.values, 0)
