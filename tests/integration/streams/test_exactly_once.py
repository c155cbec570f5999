"""The stream side on real parts: nothing is lost or counted twice when processes are killed, and Feast reads it."""

from __future__ import annotations

import itertools
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import redis
from confluent_kafka import Producer

from adfeast.clock import ManualClock, SystemClock
from adfeast.contract.definitions import View
from adfeast.contract.event_schemas import writing
from adfeast.contract.events import EVENT_ID, EVENT_TIME, EventCodec
from adfeast.contract.rows import Layout
from adfeast.feast_ext.online_layout import redis_watermarks_key, view_watermark
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply, open_store
from adfeast.watermarks import archived_until
from streaming.archive_progress import publish_watermarks
from streaming.checkpoints import JobState
from streaming.errors import SubmitFailed
from streaming.flink_rest import FlinkRest
from streaming.kafka_admin import end_offsets
from streaming.marks import advance, decode_mark, heartbeat
from streaming.names import ARCHIVE, archive_group, features_job
from streaming.plan import make_plan
from streaming.progress import wait_archived, wait_features
from streaming.status import read_status
from streaming.submit import submit
from tests.parity.generated import START, stream
from tests.parity.naive import emissions
from tests.parity.stream_side import StreamSide, stream_side

HOUR = 3_600_000


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamSide]:
    with stream_side(tmp_path_factory.mktemp("streaming"), left_out=(1, 2)) as running:
        running.platform.start("redis_writer")
        yield running


def online(side: StreamSide, view: View, keys: list[str]) -> dict[str, dict[str, Any]]:
    """What Feast itself reads of a view."""
    features = [f"{view.name}:{f.name}" for f in view.features]
    rows = open_store(side.settings).get_online_features(features, [{view.join_key: k} for k in keys]).to_dict()
    return {k: {f.name: rows[f.name][i] for f in view.features} for i, k in enumerate(rows[view.join_key])}


def stored_watermark(side: StreamSide, view: str) -> int | None:
    """Until when Redis holds the values of a view."""
    with redis.Redis(port=side.settings.redis_port) as client:
        return view_watermark(client.hgetall(redis_watermarks_key(side.settings.project)), view)


def test_kills_in_mid_replay_lose_and_duplicate_nothing(side: StreamSide) -> None:
    keys = {v["join_key"]: 8 for v in side.plan["views"]}
    dice = random.Random(7)
    garbage = [b"", b"\x00", b"\xff" * 40, dice.randbytes(64), b"\x02a"]
    arrivals = {t: stream(c.columns, keys, 900, 5, START, t) for t, c in side.codecs.items()}
    for part in range(3):
        for topic, events in arrivals.items():
            side.send(topic, events[part * len(events) // 3 : (part + 1) * len(events) // 3])
            side.send(topic, garbage[part * 2 : part * 2 + 2])
        if part == 0:
            side.platform.kill("flink_taskmanager")
            side.platform.kill("redis_writer")
        if part == 1:
            side.platform.kill("redis_writer")
            side.platform.kill("valkey")
    wait_features(side.settings, 240)
    for view in side.plan["views"]:
        definition, events = side.definitions.views[view["name"]], arrivals[view["topic"]]
        # What lies behind the watermark has expired; the rest does when time is moved on, below.
        watermark = max(e[EVENT_TIME] for e in events) - side.plan["watermark_delay_ms"]
        expected, _ = emissions(definition, events, set(), watermark)
        last = {e.key: dict(e.values) for e in expected}
        until = time.monotonic() + 60  # the watermark waits until the other partition counts as idle
        while (found := online(side, definition, sorted(last))) != last:
            assert time.monotonic() < until, [(k, v, last[k]) for k, v in found.items() if v != last[k]][:3]
            time.sleep(0.5)
    wait_features(side.settings)
    wait_archived(side.settings, [*side.codecs, *(v["output"] for v in side.plan["views"])], 120)

    for topic, events in arrivals.items():
        files = f"{side.plan['lake'][topic]}/*/*.parquet"
        archived = duckdb.sql(f"SELECT {EVENT_ID} FROM read_parquet('{files}')").fetchall()
        assert Counter(i for (i,) in archived) == Counter(e[EVENT_ID] for e in events)
        dead = {m.value() or b"" for m in side.read(f"{topic}.dead")}
        assert dead == set(garbage)

    for view in side.plan["views"]:
        definition = side.definitions.views[view["name"]]
        files = f"{side.plan['lake'][view['output']]}/*/*.parquet"
        names = ", ".join(sorted(f.name for f in definition.features))
        query = f"SELECT {view['join_key']}, epoch_ms({EVENT_TIME}), {names} FROM read_parquet('{files}')"
        rows = [(e.key, e.ms, *(v for _, v in e.values)) for e in side.emitted(view)]
        assert Counter(duckdb.sql(query).fetchall()) == Counter(rows)

    end = max(e[EVENT_TIME] for events in arrivals.values() for e in events) + 2 * HOUR
    advance(side.settings, side.plan, end)
    # Every archived topic has a watermark, also the one that nobody wrote to.
    assert publish_watermarks(side.settings, side.plan) == dict.fromkeys([*side.codecs, "snapshots"], end)
    assert archived_until(side.settings) == dict.fromkeys([*side.codecs, "snapshots"], end)
    wait_features(side.settings)
    for view in side.plan["views"]:
        until = time.monotonic() + 30
        while (stored := stored_watermark(side, view["name"])) not in (end - 1, end):
            assert time.monotonic() < until, f"{view['name']} stays at {stored}, not {end}"
            time.sleep(0.2)
        definition = side.definitions.views[view["name"]]
        found = online(side, definition, sorted({e[view["join_key"]] for e in arrivals[view["topic"]]}))
        assert {v for row in found.values() for v in row.values()} == {0}


def test_redis_restarted_and_older_rows_and_bad_rows(side: StreamSide) -> None:
    view = side.plan["views"][0]
    definition = side.definitions.views[view["name"]]
    layout = Layout.of(definition)

    def row(number: int, ms: int) -> bytes:
        return layout.encode(ms, [number] * len(layout.columns))

    def put(*rows: bytes) -> None:
        producer = Producer({"bootstrap.servers": side.settings.kafka_bootstrap})
        for value in rows:
            producer.produce(view["output"], value, b"k")
        assert producer.flush(10) == 0
        wait_features(side.settings)

    put(row(3, START + 1000), row(5, START + 5000), row(4, START + 4999))
    assert set(online(side, definition, ["k"])["k"].values()) == {5}
    put(row(2, START))
    assert set(online(side, definition, ["k"])["k"].values()) == {5}
    put(row(6, START + 5000))  # an equal time is a correction
    side.platform.restart("valkey")
    future = row(8, SystemClock().now_ms() + 120_000)  # it would freeze the key
    put(b"no row", row(9, START + 7000)[:-1], future, row(7, START + 6000))
    assert set(online(side, definition, ["k"])["k"].values()) == {7}
    reasons = [dict(m.headers())["reason"].decode() for m in side.read(f"{view['output']}.dead")]
    assert len(reasons) == 3
    assert all(any(text in r for r in reasons) for text in ("known layout", "not as long", "in the future"))


def test_submitting_again_leaves_the_jobs_alone(side: StreamSide) -> None:
    assert {a.job: a.what for a in submit(side.plan, side.settings)} == dict.fromkeys(side.plan["jobs"], "left")


def test_the_heartbeat_lets_values_decay_when_no_event_comes(side: StreamSide) -> None:
    view = side.plan["views"][0]
    definition = side.definitions.views[view["name"]]
    begin = START + 500 * HOUR
    (seen,) = stream(side.codecs[view["topic"]].columns, {view["join_key"]: 1}, 1, 1, begin, "beat")
    side.send(view["topic"], [seen])
    clock, stop = ManualClock(seen[EVENT_TIME]), threading.Event()
    arguments = (side.settings, lambda: side.plan, clock, 0.05, stop)
    beating = threading.Thread(target=heartbeat, args=arguments)
    beating.start()
    try:
        key = seen[view["join_key"]]
        wait_features(side.settings)
        assert 1 in online(side, definition, [key])[key].values()
        clock.advance(2 * HOUR)
        until = time.monotonic() + 60
        while set(online(side, definition, [key])[key].values()) != {0}:
            assert time.monotonic() < until, "the values do not decay"
            time.sleep(0.1)
    finally:
        stop.set()
        beating.join()


def test_a_changed_plan_takes_over_with_nothing_lost_or_archived_twice(side: StreamSide) -> None:
    keys = {v["join_key"]: 3 for v in side.plan["views"]}
    begin = START + 1000 * HOUR
    arrivals = {t: stream(c.columns, keys, 50, 11, begin, f"after-{t}") for t, c in side.codecs.items()}
    for topic, events in arrivals.items():
        side.send(topic, events[:25])
    wait_features(side.settings)
    # Every event gets a column, while messages without it are in flight and in what the features are rebuilt from.
    more = {"name": "added", "type": "string", "default": "nothing"}
    grown = {t: {**s, "fields": [more, *s["fields"]]} for t, s in side.definitions.events.items()}
    definitions = replace(side.definitions, events=grown)
    changed = make_plan(definitions, side.settings, watermark_delay_ms=6_000, parallelism=2)
    for topic, schema in side.definitions.events.items():
        assert writing(side.settings, definitions, topic) == schema  # the running jobs cannot read the new one
    actions = submit(changed, side.settings)
    views = {features_job(v["name"]): "switched" for v in changed["views"]}
    assert {a.job: a.what for a in actions} == {**views, "archive": "restored"}
    for topic, events in arrivals.items():
        assert writing(side.settings, definitions, topic) == grown[topic]
        codec = EventCodec(topic, grown[topic])
        side.send(topic, events[25:35])
        side.send(topic, [codec.encode(e | {"added": "something"}) for e in events[35:]])
    end = max(e[EVENT_TIME] for events in arrivals.values() for e in events)
    advance(side.settings, changed, end)
    wait_features(side.settings, 240)
    wait_archived(side.settings, list(side.codecs))
    for topic in side.codecs:
        files = f"{changed['lake'][topic]}/*/*.parquet"
        query = "SELECT count(*), count_if(added = 'something'), count_if(added = 'nothing') FROM read_parquet"
        ((archived, new, old),) = duckdb.sql(f"{query}('{files}', union_by_name=true)").fetchall()
        assert new == len(arrivals[topic][35:])
        assert old >= len(arrivals[topic][25:35])
        marks = sum(decode_mark(m.value() or b"") is not None for m in side.read(topic))
        dead = len(side.read(f"{topic}.dead"))
        assert archived == len(side.read(topic)) - marks - dead
    for view in changed["views"]:
        definition = side.definitions.views[view["name"]]
        expected, _ = emissions(definition, arrivals[view["topic"]], set(), end)
        last = {e.key: dict(e.values) for e in expected}
        assert online(side, definition, sorted(last)) == last


def test_a_plan_that_cannot_be_planned_leaves_everything_running(side: StreamSide) -> None:
    rest = FlinkRest(side.settings.flink_rest)
    before = [j.id for j in rest.jobs() if j.ready]
    broken = make_plan(side.definitions, side.settings, watermark_delay_ms=7_000)
    broken["views"][0]["join_key"] = "no such column"
    with pytest.raises(SubmitFailed, match="no such column"):
        submit(broken, side.settings)
    assert [j.id for j in rest.jobs() if j.ready] == before


def test_what_was_left_between_stop_and_start_is_taken_up_by_a_plan_with_other_topics(side: StreamSide) -> None:
    rest = FlinkRest(side.settings.flink_rest)
    topic = next(iter(side.definitions.events))
    keys = {v["join_key"]: 3 for v in side.plan["views"]}
    events = stream(side.codecs[topic].columns, keys, 200, 13, START + 1500 * HOUR, "between")
    events = list({e[EVENT_ID]: e for e in events}.values())
    side.send(topic, events[:100])
    archive = rest.alive(archive_group(side.settings.project))
    assert archive
    state = JobState(side.settings, side.settings.checkpoints, ARCHIVE)
    rest.stop(archive.id, state.savepoints(archive.digest, archive.lineage))
    side.send(topic, events[100:])
    more = {"audit": side.definitions.events[topic]}
    other = make_plan(replace(side.definitions, events=side.definitions.events | more), side.settings)
    assert ("archive", "started") in [(a.job, a.what) for a in submit(other, side.settings)]
    wait_archived(side.settings, [topic, "audit"])
    query = f"SELECT {EVENT_ID} FROM read_parquet('{other['lake'][topic]}/*/*.parquet', union_by_name=true)"
    archived = Counter(i for (i,) in duckdb.sql(query).fetchall() if i.startswith("between-"))
    assert archived == dict.fromkeys((e[EVENT_ID] for e in events), 1)


def test_the_reconciler_follows_the_definitions_whenever_it_is_killed(side: StreamSide, tmp_path: Path) -> None:
    dice = random.Random(3)
    topic = next(iter(side.definitions.events))
    repo = tmp_path / "feature_repo"
    shutil.copytree(side.settings.feature_repo, repo, ignore=shutil.ignore_patterns("__pycache__"))
    applied = side.settings.model_copy(update={"feature_repo": repo})
    stop, sent = threading.Event(), itertools.count()
    keys = {v["join_key"]: 3 for v in side.plan["views"]}
    begin = START + 2000 * HOUR

    def traffic() -> None:
        while not stop.wait(0.05):
            n = next(sent)
            side.send(topic, stream(side.codecs[topic].columns, keys, 1, n, begin + 1000 * n, f"live-{n}")[:1])

    talking = threading.Thread(target=traffic)
    talking.start()
    try:
        side.platform.start("reconciler")
        for round_ in range(3):
            if round_ % 2:  # another topic: the archive reads other topics
                extra = f'event_source("more_{round_}", {{"text": "string"}}, description="more")'
                with (repo / "sources.py").open("a") as file:
                    file.write(f"\nmore_{round_} = {extra}\n")
            else:  # another feature
                file = repo / "stream_views.py"
                window = f'windowed("more_{round_}", "count", "event_id", minutes({15 + round_}), seconds(30)),'
                line = f"    features=[\n        {window}"
                file.write_text(file.read_text().replace("    features=[", line, 1))
            apply(applied)
            time.sleep(dice.uniform(0, 12))
            side.platform.kill("flink_jobmanager" if round_ == 2 else "reconciler")
            if round_ == 2:
                side.platform.wait("flink_jobmanager")
            time.sleep(dice.uniform(0, 5))
            side.platform.kill("reconciler")
        side.platform.wait("reconciler")
        definitions = load_definitions(side.settings)
        plan = make_plan(definitions, side.settings)
        assert set(definitions.events) >= {"more_1"}
        until = time.monotonic() + 300
        while not read_status(plan, side.settings).as_planned:
            assert time.monotonic() < until, side.platform.log("reconciler")
            time.sleep(0.5)
        side.platform.wait("reconciler", 60)
        assert read_status(plan, side.settings).as_planned
    finally:
        stop.set()
        talking.join()
    n = next(sent)
    wait_archived(side.settings, [topic])
    files = f"{plan['lake'][topic]}/*/*.parquet"
    query = (
        f"SELECT {EVENT_ID}, count(*) FROM read_parquet('{files}', union_by_name=true) WHERE {EVENT_ID} LIKE 'live-%'"
    )
    assert dict(duckdb.sql(f"{query} GROUP BY 1").fetchall()) == {f"live-{i}-0": 1 for i in range(n)}
    advance(side.settings, plan, begin + 1000 * n)
    until = time.monotonic() + 60
    while archived_until(side.settings).get(topic) != begin + 1000 * n:
        assert time.monotonic() < until, f"the reconciler publishes {archived_until(side.settings)}"
        time.sleep(0.5)
    assert archived_until(side.settings).keys() >= {"more_1", "snapshots"}
    side.platform.stop("reconciler")


def test_the_supervised_heartbeat_beats_and_comes_back(side: StreamSide) -> None:
    # Last of all: the wall clock makes every historic event late.
    side.platform.start("heartbeat")
    side.platform.kill("heartbeat")
    before = end_offsets(side.settings.kafka_bootstrap, side.codecs)
    side.platform.wait("heartbeat")
    until = time.monotonic() + 30
    while not all(
        end > before[place] for place, end in end_offsets(side.settings.kafka_bootstrap, side.codecs).items()
    ):
        assert time.monotonic() < until, "no time mark was sent"
        time.sleep(0.1)
