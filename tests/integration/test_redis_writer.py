"""The Redis writer between a real Kafka and a real Valkey: rows of every kind, deaths, and how long keys live."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.clock import Clock, ManualClock, SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.rows import Layout, record_layouts, watermark_key
from adfeast.contract.topics import features_topic, topics, writer_group
from adfeast.feast_ext.online_layout import (
    redis_field,
    redis_key,
    redis_watermarks_key,
    view_watermark,
)
from adfeast.settings import Settings
from infra.local.platform.platform import Platform
from streaming.kafka_admin import Offsets, committed_offsets, end_offsets, ensure_topics
from streaming.redis_writer.offsets import COMMIT_DELAY_MS
from streaming.redis_writer.views import FORMER_MS
from streaming.redis_writer.writer import RedisWriter
from tests.unit.streaming.jobs.test_sql import definitions

AT = 1_574_500_000_000
VIEW = definitions().views["shop_bids"]
LAYOUT = Layout.of(VIEW)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("writer"), parts=["valkey", "kafka"]) as running:
        yield running


@dataclass
class Side:
    """A project of its own on the module's Kafka and Valkey, with its writer."""

    settings: Settings
    definitions: Definitions

    @property
    def topic(self) -> str:
        return features_topic(self.settings.project, VIEW.name)

    @contextmanager
    def writing(self, clock: Clock | None = None) -> Iterator[RedisWriter]:
        """A writer in a thread of this process, as the supervisor would run it: it is started again when it fails."""
        stop = threading.Event()
        writer = RedisWriter(self.settings, lambda: self.definitions, clock or SystemClock())
        running = threading.Thread(target=writer.run, args=(stop,))
        running.start()
        try:
            yield writer
        finally:
            stop.set()
            running.join(30)
            assert not running.is_alive()

    def put(self, *rows: tuple[bytes, bytes], topic: str = "") -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap})
        for key, value in rows:
            producer.produce(topic or self.topic, value, key)
            producer.poll(0)
        assert producer.flush(20) == 0

    def wait(self, *more: str, deadline_s: float = 60) -> None:
        """Until the writer has committed everything."""

        def behind() -> dict[Any, Any]:
            wanted = [self.topic, *more]
            at = self.committed(*more)
            ends = end_offsets(self.settings.kafka_bootstrap, wanted)
            return {place: (at[place], end) for place, end in ends.items() if at[place] < end}

        eventually(lambda: not behind(), deadline_s)

    def committed(self, *more: str) -> Offsets:
        group = writer_group(self.settings.project)
        return committed_offsets(self.settings.kafka_bootstrap, group, [self.topic, *more])

    def online(self, key: str) -> dict[str, float]:
        with redis.Redis(port=self.settings.redis_port) as client:
            stored = client.hgetall(redis_key("shop_id", key, self.settings.project))
        fields = {n: stored[f] for n in ("spent", "visit") if (f := redis_field(VIEW.name, n)) in stored}
        made = {n: Value.FromString(v) for n, v in fields.items()}
        return {n: getattr(v, v.WhichOneof("val")) for n, v in made.items()}

    def dead(self, topic: str = "") -> list[Message]:
        name = f"{topic or self.topic}.dead"
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_bootstrap, "group.id": "test"})
        found: list[Message] = []
        for (_, partition), end in end_offsets(self.settings.kafka_bootstrap, [name]).items():
            consumer.assign([TopicPartition(name, partition, 0)])
            while len(found) < end:
                found += consumer.consume(min(5000, end - len(found)), timeout=5)
        consumer.close()
        return found


def eventually(check: Callable[[], object], deadline_s: float = 60) -> None:
    until = time.monotonic() + deadline_s
    while not check():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)


@pytest.fixture
def side(platform: Platform, tmp_path: Path, request: pytest.FixtureRequest) -> Side:
    return a_side(platform, tmp_path, f"p{abs(hash(request.node.name)) % 10**9}")


def a_side(platform: Platform, folder: Path, project: str, **view: Any) -> Side:
    settings = platform.settings.model_copy(
        update={"project": project, "registry_url": f"sqlite:///{folder}/{project}.db"}
    )
    made = replace(definitions(), project=project, views={VIEW.name: replace(VIEW, **view)})
    record_layouts(settings, made.views.values())
    ensure_topics(settings.kafka_bootstrap, topics(made, settings))
    return Side(settings, made)


def row(spent: float, visit: float, ms: int = AT) -> bytes:
    return LAYOUT.encode(ms, [spent, visit])


def test_a_newer_time_wins_and_an_equal_one_corrects(side: Side) -> None:
    with side.writing():
        side.put((b"k", row(1, 1, AT + 1)), (b"k", row(2, 2, AT + 5)), (b"k", row(3, 3, AT + 4)))
        side.wait()
        assert side.online("k") == {"spent": 2, "visit": 2}
        side.put((b"k", row(4, 4, AT)))
        side.wait()
        assert side.online("k") == {"spent": 2, "visit": 2}
        side.put((b"k", row(5.5, 5, AT + 5)))
        side.wait()
        assert side.online("k") == {"spent": 5.5, "visit": 5}


def test_two_projects_on_one_kafka_do_not_mix(platform: Platform, tmp_path: Path) -> None:
    one, two = (a_side(platform, tmp_path, name) for name in ("mixone", "mixone2"))
    with one.writing():
        one.put((b"k", row(1, 1)))
        two.put((b"k", row(2, 2)), (b"only two", row(2, 2)))
        one.wait()
        assert one.online("k") == {"spent": 1, "visit": 1}
        with two.writing():
            two.wait()
    assert two.online("k") == {"spent": 2, "visit": 2}
    assert one.online("only two") == {}
    assert [one.dead(), two.dead()] == [[], []]


def test_rows_of_a_former_layout_are_written_and_of_one_that_is_new_at_once(side: Side) -> None:
    view = side.definitions.views[VIEW.name]
    with side.writing():
        side.put((b"k", row(1, 1)))
        side.wait()
        # Another job begins: its layout is recorded before it writes.
        changed = replace(view, features=tuple(replace(f, made="another window") for f in view.features))
        side.definitions = replace(side.definitions, views={VIEW.name: changed})
        record_layouts(side.settings, [changed])
        newer = Layout.of(changed)
        side.put((b"k", newer.encode(AT + 1, [2, 2])), (b"former", row(3, 3)))
        side.wait()
        assert side.online("k") == {"spent": 2, "visit": 2}
        assert side.online("former") == {"spent": 3, "visit": 3}
    assert side.dead() == []


def test_a_definition_that_comes_back_is_the_one_of_today(side: Side) -> None:
    view = side.definitions.views[VIEW.name]
    less = replace(view, features=view.features[:1])
    clock = ManualClock(SystemClock().now_ms())
    with side.writing(clock):
        for definition, layout, ms in ((view, LAYOUT, 0), (less, Layout.of(less), 1), (view, LAYOUT, 2)):
            side.definitions = replace(side.definitions, views={VIEW.name: definition})
            record_layouts(side.settings, [definition])
            clock.advance(FORMER_MS)
            side.put((b"k", layout.encode(AT + ms, [ms] * len(layout.columns))))
            side.wait()
        assert side.online("k") == {"spent": 2, "visit": 2}


def test_poison_is_kept_and_costs_no_time_of_kafka(side: Side) -> None:
    gone = features_topic(side.settings.project, "removed")
    ensure_topics(side.settings.kafka_bootstrap, {gone: topics(side.definitions, side.settings)[side.topic]})
    unknown = replace(LAYOUT, view="unknown").encode(AT, [1, 1])
    each = 5000
    with side.writing() as writer:
        future = row(1, 1, SystemClock().now_ms() + 120_000)
        begun = time.monotonic()
        side.put(*[(b"k%d" % i, row(1, 1)) for i in range(each)], topic=gone)
        side.put(*[(b"k%d" % i, unknown) for i in range(each)])
        side.put((b"k", b"no row"), (b"k", row(1, 1)[:-1]), (b"k", future), (b"", row(1, 1)), (b"k", row(1, 1, 0)))
        side.put((b"k", LAYOUT.encode(AT, None)), (b"nan", row(float("nan"), 7)), (b"good", row(2, 3)))
        side.wait(gone, deadline_s=30)
        assert time.monotonic() - begun < 30  # a control connection for each would take minutes
        assert side.online("good") == {"spent": 2, "visit": 3}
        # What is not a number is served as missing; the rest of its row is right.
        assert side.online("nan")["visit"] == 7
        dead = side.dead()
        assert len(dead) == each + 6
        assert {m.key() for m in side.dead(gone)} == {b"k%d" % i for i in range(each)}
        reasons = {dict(m.headers())["reason"].decode() for m in dead[each:]}
        assert len(reasons) == 6, reasons
        assert writer.stats.topics[gone].dead == each


def test_a_key_that_redis_refuses_is_a_dead_letter(side: Side) -> None:
    with redis.Redis(port=side.settings.redis_port) as client, side.writing():
        client.set(redis_key("shop_id", "taken", side.settings.project), "a text")
        side.put(*[(b"k%d" % i, row(i, i)) for i in range(200)], (b"taken", row(1, 1)))
        side.wait()
    assert [side.online(f"k{i}")["visit"] for i in range(200)] == list(range(200))
    (dead,) = side.dead()
    assert dead.key() == b"taken"
    assert "WRONGTYPE" in dict(dead.headers())["reason"].decode()


def test_a_key_goes_when_nobody_writes_it_any_more(platform: Platform, tmp_path: Path) -> None:
    side = a_side(platform, tmp_path, "expiring", max_age_s=2)
    key = redis_key("shop_id", "k", "expiring")
    with redis.Redis(port=side.settings.redis_port) as client, side.writing():
        side.put((b"k", row(1, 1)))
        side.wait()
        assert 0 < client.pttl(key) <= 3_000
        eventually(lambda: not client.exists(key), 10)


def test_the_longest_view_of_an_entity_keeps_its_keys(platform: Platform, tmp_path: Path) -> None:
    side = a_side(platform, tmp_path, "lasting", max_age_s=8_000)
    shorter = replace(side.definitions.views[VIEW.name], name="shorter", max_age_s=10)
    side.definitions = replace(side.definitions, views={**side.definitions.views, "shorter": shorter})
    record_layouts(side.settings, [shorter])
    ensure_topics(side.settings.kafka_bootstrap, topics(side.definitions, side.settings))
    key = redis_key("shop_id", "k", "lasting")
    with redis.Redis(port=side.settings.redis_port) as client, side.writing():
        topic = features_topic("lasting", "shorter")
        side.put((b"k", Layout.of(shorter).encode(AT, [1, 1])), topic=topic)
        side.wait(topic)
        assert 9_990 <= client.ttl(key) <= 10_001
        client.expire(key, 9_500)  # it has grown older, but not so much that it is worth a write
        side.put((b"k", row(1, 1)))
        side.wait()
        assert client.ttl(key) <= 9_500
        client.expire(key, 8_500)
        side.put((b"k", row(1, 1, AT - 1)))  # an older row writes nothing
        side.wait()
        assert client.ttl(key) <= 8_500
        side.put((b"k", row(0, 0, AT + 1)))
        side.wait()
        assert client.ttl(key) >= 9_990


def test_a_watermark_follows_its_values_and_never_goes_back(side: Side) -> None:
    project = side.settings.project

    def marks(ms: int, ways: int = 3) -> list[tuple[bytes, bytes]]:
        return [(watermark_key(n, ways), LAYOUT.encode(ms + n, None)) for n in range(ways)]

    with redis.Redis(port=side.settings.redis_port) as client, side.writing():

        def stored() -> dict[bytes, bytes]:
            found: dict[bytes, bytes] = client.hgetall(redis_watermarks_key(project))
            return found

        side.put(*marks(AT)[:2])
        side.wait()
        assert view_watermark(stored(), VIEW.name) is None  # one way has brought none
        side.put((b"k", row(1, 1)), *marks(AT))
        side.wait()
        assert view_watermark(stored(), VIEW.name) == AT
        side.put(*marks(AT - 1000))
        side.wait()
        assert view_watermark(stored(), VIEW.name) == AT
        side.put(*marks(AT + 1000, ways=2))  # fewer ways than before
        side.wait()
        assert view_watermark(stored(), VIEW.name) == AT + 1000
        side.put((watermark_key(0, 2), LAYOUT.encode(SystemClock().now_ms() + 120_000, None)))
        side.wait()
        assert view_watermark(stored(), VIEW.name) == AT + 1000
    assert len(side.dead()) == 1


def test_nothing_is_missing_when_valkey_is_killed_right_after_a_write(side: Side, platform: Platform) -> None:
    with side.writing():
        for round_ in range(3):
            keys = [b"r%d-%d" % (round_, i) for i in range(500)]
            side.put(*[(key, row(round_, i)) for i, key in enumerate(keys)])
            eventually(partial(side.online, f"r{round_}-499"))
            platform.kill("valkey")
            platform.wait("valkey")
        side.wait()
    for round_ in range(3):
        found = [side.online(f"r{round_}-{i}") for i in range(500)]
        assert found == [{"spent": round_, "visit": i} for i in range(500)]


class Counting(SystemClock):
    """Counts how often it is asked, which the writer does a few times a turn."""

    asked = 0

    def now_ms(self) -> int:
        self.asked += 1
        return super().now_ms()

    def some_turns(self, at_most_s: float = 3) -> None:
        """Waits for some, or until it is clear that the writer waits for an answer itself."""
        asked, until = self.asked, time.monotonic() + at_most_s
        while self.asked < asked + 20 and time.monotonic() < until:
            time.sleep(0.01)


def test_what_a_crash_takes_from_the_log_is_written_again(side: Side, platform: Platform) -> None:
    """The machine dies: everything is gone that Valkey had not forced to the disk."""
    clock = Counting()
    log = next(platform.home.data("valkey").rglob("*.incr.aof"))
    pid = next(s.pid for s in platform.status() if s.part.name == "valkey")
    with side.writing(clock):
        for attempt in range(50):
            side.put((b"before-%d" % attempt, row(1, 1)))
            side.wait()  # Valkey has just forced its log: the next time is in a second
            safe, lost = log.stat().st_size, end_offsets(side.settings.kafka_bootstrap, [side.topic])
            side.put((b"after", row(2, 2, AT + attempt)))
            eventually(partial(side.online, "after"))
            os.kill(pid, signal.SIGSTOP)
            clock.some_turns()  # an answer of before was heard: its commit is over
            if side.committed() == lost:
                break
            os.kill(pid, signal.SIGCONT)  # it was forced already
        else:
            pytest.fail("the log was forced each time before the row was seen")
        os.truncate(log, safe)
        os.kill(pid, signal.SIGKILL)
        platform.wait("valkey")
        side.wait()
        assert side.online("after") == {"spent": 2, "visit": 2}
        assert side.online(f"before-{attempt}") == {"spent": 1, "visit": 1}


def test_redis_away_for_a_while_is_waited_for(side: Side, platform: Platform) -> None:
    with side.writing():
        side.put((b"k", row(1, 1)))
        side.wait()
        platform.stop("valkey")
        side.put((b"k", row(2, 2, AT + 1)), (b"k", b"no row"))
        platform.start("valkey")
        side.wait()
        assert side.online("k") == {"spent": 2, "visit": 2}
    assert {m.value() for m in side.dead()} == {b"no row"}


def test_a_redis_that_keeps_no_log_gets_time_instead(side: Side) -> None:
    clock = ManualClock(SystemClock().now_ms())
    with redis.Redis(port=side.settings.redis_port) as client, side.writing(clock):
        client.config_set("appendonly", "no")
        try:
            side.put((b"k", row(1, 1)))
            eventually(partial(side.online, "k"))
            clock.advance(COMMIT_DELAY_MS - 1)
            assert not any(side.committed().values())
            clock.advance(COMMIT_DELAY_MS)
            side.wait()
        finally:
            client.config_set("appendonly", "yes")
            eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"])


def test_what_is_safe_lies_on_a_replica_too_if_there_is_one(side: Side, tmp_path: Path) -> None:
    with (
        Platform(tmp_path / "replica", parts=["valkey"]) as other,
        redis.Redis(port=other.settings.redis_port) as replica,
        redis.Redis(port=side.settings.redis_port) as primary,
    ):
        replica.replicaof("127.0.0.1", side.settings.redis_port)
        eventually(lambda: primary.info("replication").get("slave0", {}).get("state") == "online")
        (pid,) = (s.pid for s in other.status() if s.part.name == "valkey")
        with side.writing():
            side.put((b"k", row(1, 1)))
            side.wait()
            before = side.committed()
            os.kill(pid, signal.SIGSTOP)
            side.put((b"k", row(2, 2)))
            eventually(lambda: side.online("k")["visit"] == 2)
            primary.set("forced", "1")
            assert primary.waitaof(1, 0, 10_000)[0] == 1
            assert side.committed() == before
            os.kill(pid, signal.SIGCONT)
            side.wait()
        replica.replicaof("NO", "ONE")
        eventually(lambda: primary.info("replication")["connected_slaves"] == 0)
