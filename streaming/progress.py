"""Waits until the stream side has caught up with what Kafka holds now; the demo and the tests go on from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from adfeast.clock import Clock, SystemClock
from adfeast.contract.topics import features_topic
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from streaming.errors import NotCaughtUp
from streaming.flink_rest import FlinkRest
from streaming.kafka_admin import Offsets, committed_offsets, end_offsets
from streaming.plan import ARCHIVE, FEATURES, stream_views
from streaming.redis_writer.writer import writer_group

POLL_S = 0.1
# A watermark follows the message that moved it within 200 ms (Flink's interval); what it lets expire is written before
# a checkpoint that begins after it.
SETTLE_MS = 600


def wait_archived(
    settings: Settings, topics: Sequence[str], deadline_s: float = 120.0, clock: Clock | None = None
) -> Offsets:
    """Until every message that `topics` hold now lies in visible Parquet files; returns the ends they had.

    Args:
        topics: event topics, `snapshots` or `features.<project>.<view>`.

    Raises:
        NotCaughtUp: not before the deadline; the message names topic and offsets.
    """
    until = time.monotonic() + deadline_s
    group = f"{settings.project}-{ARCHIVE}"
    ends = end_offsets(settings.kafka_bootstrap, topics)
    _caught_up(settings, group, ends, until)
    # Offsets and files of a checkpoint are committed side by side; a later checkpoint comes after both.
    _checkpoint_after(settings, group, (clock or SystemClock()).now_ms(), until)
    return ends


def wait_features(
    settings: Settings, deadline_s: float = 120.0, *, redis: bool = True, clock: Clock | None = None
) -> None:
    """Until the feature topics, and Redis, hold the values that follow from all events and time marks Kafka holds now.

    Args:
        redis: wait for the Redis writer too.

    Raises:
        NotCaughtUp: not before the deadline; the message names topic and offsets.
    """
    until = time.monotonic() + deadline_s
    views = stream_views(load_definitions(settings))
    if not views:
        return
    group = f"{settings.project}-{FEATURES}"
    ends = end_offsets(settings.kafka_bootstrap, {v.topic for v in views})
    _caught_up(settings, group, ends, until)
    _checkpoint_after(settings, group, (clock or SystemClock()).now_ms() + SETTLE_MS, until)
    if redis:
        ends = end_offsets(settings.kafka_bootstrap, [features_topic(settings.project, v.name) for v in views])
        _caught_up(settings, writer_group(settings.project), ends, until)


def lag(settings: Settings, group: str, topics: Sequence[str]) -> dict[str, int]:
    """Messages of each topic that the group has not committed yet."""
    ends = end_offsets(settings.kafka_bootstrap, topics)
    committed = committed_offsets(settings.kafka_bootstrap, group, topics)
    behind = dict.fromkeys(topics, 0)
    for (topic, partition), end in ends.items():
        behind[topic] += max(0, end - committed[topic, partition])
    return behind


def _caught_up(settings: Settings, group: str, ends: Offsets, until: float) -> None:
    topics = sorted({topic for topic, _ in ends})

    def missing() -> str:
        committed = committed_offsets(settings.kafka_bootstrap, group, topics)
        behind = {p: (committed[p], end) for p, end in ends.items() if committed[p] < end}
        return ", ".join(f"{t}[{p}] at {at} of {end}" for (t, p), (at, end) in behind.items())

    _poll(missing, until, f"group {group} has not caught up")


def _checkpoint_after(settings: Settings, job: str, begun_ms: int, until: float) -> None:
    rest = FlinkRest(settings.flink_rest)

    def missing() -> str:
        found = rest.alive(job)
        if not found:
            return f"no job {job} runs"
        done = rest.completed_checkpoint(found.id)
        return "" if done and done[1] >= begun_ms else "its last checkpoint began too early"

    _poll(missing, until, f"job {job} has completed no checkpoint")


def _poll(missing: Callable[[], str], until: float, what: str) -> None:
    while reason := missing():
        if time.monotonic() > until:
            raise NotCaughtUp(f"{what} before the deadline: {reason}")
        time.sleep(POLL_S)
