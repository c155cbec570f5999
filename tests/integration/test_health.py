"""What is said of the stream views is what Redis, Kafka and Flink hold, in `adfeast stream status` and as metrics."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator

import pytest
import redis
from click.testing import CliRunner
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from adfeast.clock import SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.topics import Topic
from adfeast.errors import SettingsError
from adfeast.feast_ext.online_layout import redis_watermarks_key
from adfeast.feast_ext.registry import load_definitions
from adfeast.metrics import BEHIND, JOB_RUNNING, LATE, WATERMARK_AGE, Metric
from adfeast.settings import Settings
from cli.main import main
from infra.local.platform.ports import is_free
from infra.local.platform.web import ask
from streaming.errors import StreamingError
from streaming.health import LAST_MS, ViewHealth, read_health, watermarks
from streaming.kafka_admin import Counted, counted, ensure_topics
from streaming.metrics import show_streams
from streaming.plan import Plan, make_plan
from streaming.status import read_status
from tests.contract.watermarks import stand_at

HOUR = 3_600_000


@pytest.fixture(scope="module")
def definitions(settings: Settings) -> Definitions:
    return load_definitions(settings)


@pytest.fixture(scope="module")
def plan(settings: Settings, definitions: Definitions) -> Plan:
    return make_plan(definitions, settings)


@pytest.fixture(autouse=True)
def as_before(settings: Settings) -> Iterator[None]:
    """Other tests of the session go on with the watermarks that they had."""
    key = redis_watermarks_key(settings.project)
    with redis.Redis(settings.redis_host, settings.redis_port) as client:
        before = client.hgetall(key)
        yield
        client.delete(key)
        if before:
            client.hset(key, mapping=before)


def send(settings: Settings, topic: str, ages_ms: list[int]) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    for age_ms in ages_ms:
        producer.produce(topic, b"x", timestamp=SystemClock().now_ms() - age_ms)
    assert producer.flush(20) == 0


def health(settings: Settings, definitions: Definitions, plan: Plan, now_ms: int) -> dict[str, ViewHealth]:
    behind = read_status(plan, settings).behind
    return {v.view: v for v in read_health(plan, definitions, settings, behind, now_ms)}


def test_messages_are_counted_ever_and_since(settings: Settings) -> None:
    topic, empty = f"counted-{uuid.uuid4().hex}", f"counted-{uuid.uuid4().hex}"
    ensure_topics(settings.kafka_bootstrap, {topic: Topic(2), empty: Topic(1)})
    send(settings, topic, [2 * HOUR, HOUR, 0, 0])
    found = counted(settings.kafka_bootstrap, [topic, empty], SystemClock().now_ms() - HOUR // 2)
    assert found == {topic: Counted(4, 2), empty: Counted(0, 0)}


def test_late_and_dead_of_the_last_minute_are_told_from_older_ones(
    settings: Settings, definitions: Definitions, plan: Plan
) -> None:
    view = plan["views"][0]
    before = health(settings, definitions, plan, SystemClock().now_ms())[view["name"]]
    send(settings, view["late"], [2 * LAST_MS, 0, 0])
    send(settings, f"{view['output']}.dead", [2 * LAST_MS, 0])
    found = health(settings, definitions, plan, SystemClock().now_ms())[view["name"]]
    assert (found.late, found.dead) == (before.late + 2, before.dead + 1)
    assert found.refused_too_often


def test_a_view_is_as_old_as_its_watermark_in_redis(settings: Settings, definitions: Definitions, plan: Plan) -> None:
    now = SystemClock().now_ms()
    stand_at(settings, definitions, now - 15_000)
    assert {(v.age_s, v.stale) for v in health(settings, definitions, plan, now).values()} == {(15.0, False)}
    assert {(v.age_s, v.stale) for v in health(settings, definitions, plan, now + 1).values()} == {(15.001, True)}
    replay = settings.model_copy(update={"replay_speed": 100.0})
    found = health(replay, definitions, plan, now + 1)
    assert {(v.fresh_within_s, v.stale) for v in found.values()} == {(1500.0, False)}
    with redis.Redis(settings.redis_host, settings.redis_port) as client:
        client.delete(redis_watermarks_key(settings.project))
    assert {(v.age_s, v.stale) for v in health(settings, definitions, plan, now).values()} == {(None, True)}


def test_a_redis_that_is_away_is_named(settings: Settings) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = settings.model_copy(update={"redis_port": nobody.getsockname()[1]})
        with pytest.raises(StreamingError, match=f"Redis at 127.0.0.1:{away.redis_port} does not say how far"):
            watermarks(away, ["v"])


def test_the_command_shows_each_view_for_people_and_for_programs(settings: Settings, definitions: Definitions) -> None:
    stand_at(settings, definitions, SystemClock().now_ms())
    views = {v.name for v in definitions.views.values() if v.kind == "stream"}
    said = CliRunner().invoke(main, ["stream", "status"])
    lines = [line.split() for line in said.output.splitlines() if line.split()[:1] and line.split()[0] in views]
    assert {line[0]: line[1] for line in lines} == dict.fromkeys(views, "fresh")
    figures = json.loads(CliRunner().invoke(main, ["stream", "status", "--json"]).stdout)["views"]
    assert figures.keys() == views
    wanted = {"age_s", "stale", "fresh_within_s", "late_share", "dead_share", "job_behind", "writer_behind"}
    assert all(wanted <= view.keys() for view in figures.values())


def test_the_figures_are_shown_as_metrics_beside_whatever_the_process_does(
    settings: Settings, definitions: Definitions, plan: Plan
) -> None:
    port = next(p for p in range(33_000, 34_000) if is_free(p))
    own, stop, view = settings.model_copy(update={"metrics_port": port}), threading.Event(), plan["views"][0]
    stand_at(settings, definitions, SystemClock().now_ms() - 5_000)

    def shown(metric: Metric) -> dict[tuple[str, ...], float]:
        families = text_string_to_metric_families(ask(f"http://127.0.0.1:{port}/metrics").decode())
        samples = [s for f in families for s in f.samples if s.name == metric.name]
        return {tuple(s.labels[name] for name in metric.labels): s.value for s in samples}

    show_streams(own, SystemClock(), stop)
    try:
        until = time.monotonic() + 60
        while not shown(BEHIND):
            assert time.monotonic() < until, "the figures were not taken"
            time.sleep(0.1)
        assert 5 <= shown(WATERMARK_AGE)[(view["name"],)] < 120
        assert shown(JOB_RUNNING) == {(job["name"],): 0 for job in plan["jobs"].values()}
        assert shown(LATE)[(view["name"],)] == counted(settings.kafka_bootstrap, [view["late"]], 0)[view["late"]].ever
        with pytest.raises(SettingsError, match=f"metrics_port={port}: .*; 0 shows no metrics"):
            show_streams(own, SystemClock(), stop)
    finally:
        stop.set()
