"""Waits until the stream side has caught up with what Kafka holds now; the demo and the tests go on from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from adfeast.access import KafkaAccess
from adfeast.clock import Clock, SystemClock
from adfeast.contract.definitions import View
from adfeast.contract.topics import features_topic, writer_group
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from streaming.errors import NotCaughtUp
from streaming.flink_rest import FlinkRest, Job
from streaming.kafka_admin import Offsets, committed_by_group, committed_offsets, end_offsets
from streaming.names import archive_group, features_job, flink_name
from streaming.plan import stream_views
from streaming.running import group, running

POLL_S = 0.1
# A watermark follows the message that moved it within 200 ms (Flink's interval), on a busy machine within a second;
# what it lets expire is written before a checkpoint that begins after it.
SETTLE_MS = 1_500


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
    name = archive_group(settings.project)
    ends = end_offsets(KafkaAccess.of(settings), topics)
    _caught_up(settings, name, ends, until)
    # Offsets and files of a checkpoint are committed side by side; a later checkpoint comes after both.
    begun_ms, rest = (clock or SystemClock()).now_ms(), FlinkRest(settings.flink_rest)

    def missing() -> str:
        found = rest.alive(name)
        return _no_checkpoint(rest, found, begun_ms) if found else f"no job {name} runs"

    _poll(missing, until, f"job {name} has completed no checkpoint")
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
    ends = end_offsets(KafkaAccess.of(settings), {v.topic for v in views})
    _poll(partial(_features_behind, settings, views, ends), until, "the feature jobs have not caught up")
    settled_ms = (clock or SystemClock()).now_ms() + SETTLE_MS
    _poll(
        partial(_features_unkept, settings, views, settled_ms), until, "the feature jobs have completed no checkpoint"
    )
    if redis:
        ends = end_offsets(KafkaAccess.of(settings), [features_topic(settings.project, v.name) for v in views])
        _caught_up(settings, writer_group(settings.project), ends, until)


def lags(settings: Settings, readers: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
    """Consumer group to topic to messages that it has not committed yet.

    Args:
        readers: group to its topics.
    """
    ends = end_offsets(KafkaAccess.of(settings), sorted({t for topics in readers.values() for t in topics}))
    behind = {}
    for name, committed in committed_by_group(KafkaAccess.of(settings), readers).items():
        behind[name] = dict.fromkeys(readers[name], 0)
        for (topic, partition), at in committed.items():
            behind[name][topic] += max(0, ends[topic, partition] - at)
    return behind


def _features_behind(settings: Settings, views: Sequence[View], ends: Offsets) -> str:
    """Which job of a view has not read up to `ends`; every one that runs counts, also one that will be replaced."""
    found = running(settings.project, FlinkRest(settings.flink_rest))
    readers: dict[str, list[str]] = {}
    for view in views:
        jobs = found.get(features_job(view.name), [])
        if not jobs:
            return f"no job {flink_name(settings.project, features_job(view.name))} runs"
        readers |= {group(job): [view.topic] for job in jobs}
    committed = committed_by_group(KafkaAccess.of(settings), readers)
    return "; ".join(
        f"{name} is at {offsets[place]} of {ends[place]} in {place[0]}[{place[1]}]"
        for name, offsets in committed.items()
        for place in offsets
        if offsets[place] < ends[place]
    )


def _features_unkept(settings: Settings, views: Sequence[View], begun_ms: int) -> str:
    rest = FlinkRest(settings.flink_rest)
    found = running(settings.project, rest)
    jobs = [job for view in views for job in found.get(features_job(view.name), [])]
    return "; ".join(filter(None, (_no_checkpoint(rest, job, begun_ms) for job in jobs)))


def _no_checkpoint(rest: FlinkRest, job: Job, begun_ms: int) -> str:
    done = rest.completed_checkpoint(job.id)
    return "" if done and done[1] >= begun_ms else f"the last checkpoint of {job.name} began too early"


def _caught_up(settings: Settings, name: str, ends: Offsets, until: float) -> None:
    topics = sorted({topic for topic, _ in ends})

    def missing() -> str:
        committed = committed_offsets(KafkaAccess.of(settings), name, topics)
        behind = {p: (committed[p], end) for p, end in ends.items() if committed[p] < end}
        return ", ".join(f"{t}[{p}] at {at} of {end}" for (t, p), (at, end) in behind.items())

    _poll(missing, until, f"group {name} has not caught up")


def _poll(missing: Callable[[], str], until: float, what: str) -> None:
    while reason := missing():
        if time.monotonic() > until:
            raise NotCaughtUp(f"{what} before the deadline: {reason}")
        time.sleep(POLL_S)
