"""The real Flink job against the naive twin: every row of every view, with late, repeated and unordered events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from adfeast.clock import SystemClock
from adfeast.contract.events import EVENT_ID, EVENT_TIME
from adfeast.watermarks import marks_below
from streaming.marks import advance, heartbeat
from streaming.progress import wait_archived, wait_features
from tests.parity.generated import START, event, stream
from tests.parity.naive import emissions
from tests.parity.stream_side import StreamSide, stream_side


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamSide]:
    with stream_side(tmp_path_factory.mktemp("parity")) as running:
        yield running


def test_every_value_at_every_change_equals_the_naive_twin(side: StreamSide) -> None:
    keys = {v["join_key"]: 5 for v in side.plan["views"]}
    hours = 3_600_000
    arrivals, late, ends = {}, {}, []
    for phase in range(2):
        begin = START if not ends else ends[-1] + hours
        for seed, (topic, codec) in enumerate(side.codecs.items()):
            name = f"{topic}-{phase}"
            sent = stream(codec.columns, keys, 400, seed + 10 * phase, begin, name)
            arrivals.setdefault(topic, []).extend(sent)
            side.send(topic, sent)
        ends.append(max(e[EVENT_TIME] for sent in arrivals.values() for e in sent) + 3 * hours)
        # No event comes any more: values decay to zero because time is moved on, in every partition.
        advance(side.settings, side.plan, ends[-1])
        wait_features(side.settings, redis=False)
        for topic, codec in side.codecs.items():
            behind = stream(codec.columns, keys, 20, phase, ends[-1] - hours, f"late-{topic}-{phase}")
            behind = list({e[EVENT_ID]: e for e in behind if e[EVENT_TIME] <= ends[-1]}.values())
            arrivals[topic] += behind
            late.setdefault(topic, set()).update(e[EVENT_ID] for e in behind)
            side.send(topic, behind)
        wait_features(side.settings, redis=False)
    for view in side.plan["views"]:
        definition = side.definitions.views[view["name"]]
        expected, refused = emissions(definition, arrivals[view["topic"]], late[view["topic"]], ends[-1])
        found = side.emitted(view)
        assert len(expected) > 500
        for key in {e.key for e in expected}:
            assert [e for e in found if e.key == key] == [e for e in expected if e.key == key]
            assert set(dict([e for e in found if e.key == key][-1].values).values()) == {0}
        assert len(found) == len(expected)
        rows = [json.loads(m.value()) for m in side.read(view["late"])]
        assert sorted(r[EVENT_ID] for r in rows) == sorted(refused)


def test_values_decay_when_only_one_partition_goes_on(side: StreamSide) -> None:
    view = side.plan["views"][0]
    codec = side.codecs[view["topic"]]
    begin = max(e.ms for e in side.emitted(view)) + 10 * 3_600_000
    keys = {v["join_key"]: 1 for v in side.plan["views"]}
    (first, *_) = stream(codec.columns, keys, 1, 1, begin, "alone")
    (second, *_) = stream(codec.columns, keys, 1, 2, begin + 2 * 3_600_000, "other")
    other = {**second, view["join_key"]: "somebody else"}
    side.send(view["topic"], [first], partition=0)
    side.send(view["topic"], [other], partition=1)
    # Partition 0 is soon idle; then the watermark follows partition 1 alone and the first event has left all windows.
    # That one goes on all the while: two that fall idle at once move no watermark.
    until = time.monotonic() + 60
    values: set[float] = set()
    n = 0
    while values != {0}:
        assert time.monotonic() < until, f"the values of partition 0 stay at {values}"
        n += 1
        later = {**other, EVENT_ID: f"other-{n}", EVENT_TIME: other[EVENT_TIME] + 6_000 * n}
        side.send(view["topic"], [later], partition=1)
        time.sleep(0.5)
        rows = [e for e in side.emitted(view) if e.key == first[view["join_key"]] and e.ms >= begin]
        values = set(dict(rows[-1].values).values()) if rows else set()


class FastClock:
    """A host whose clock is ahead."""

    def __init__(self, ahead_ms: int) -> None:
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return SystemClock().now_ms() + self._ahead_ms


def live(side: StreamSide, view: Mapping[str, Any], clock: SystemClock | FastClock, name: str) -> dict[str, Any]:
    """An event that happens now by a clock."""
    key = {view["join_key"]: f"live-{name}"}
    return event(side.codecs[view["topic"]].columns, f"live-{name}", clock.now_ms(), **key)


def late_ids(side: StreamSide, view: Mapping[str, Any]) -> set[str]:
    return {json.loads(m.value())[EVENT_ID] for m in side.read(view["late"])}


# Last of all: the wall clock makes every historic event late.
def test_a_heartbeat_6_s_fast_makes_nothing_late(side: StreamSide) -> None:
    view = side.plan["views"][0]
    stop, ids = threading.Event(), [f"beaten-{n}" for n in range(6)]
    arguments = (side.settings, lambda: side.plan, FastClock(6_000), 0.2, stop)
    beating = threading.Thread(target=heartbeat, args=arguments)
    beating.start()
    try:
        for n, known_as in enumerate(ids):
            wait_features(side.settings, redis=False)
            side.send(view["topic"], [live(side, view, SystemClock(), known_as)], n % 2)
        wait_features(side.settings, redis=False)
    finally:
        stop.set()
        beating.join()
    sent = {f"live-{known_as}" for known_as in ids}
    assert not late_ids(side, view) & sent
    assert {e.key for e in side.emitted(view)} >= sent
    # The archive is not said to be complete until a time that has not been.
    places = {(view["topic"], partition): 1 << 40 for partition in range(2)}
    now_ms, marked = SystemClock().now_ms(), marks_below(side.settings, places)
    assert len(marked) == 2
    assert max(marked.values()) <= now_ms


def test_of_two_producers_30_s_apart_the_slow_one_is_not_late(side: StreamSide) -> None:
    view = side.plan["views"][0]
    fast, right = FastClock(30_000), SystemClock()
    for n in range(3):
        for partition in range(2):
            side.send(view["topic"], [live(side, view, fast, f"fast-{n}-{partition}")], partition)
        # The watermark has followed what stands in Kafka when this returns.
        wait_features(side.settings, redis=False)
        for partition in range(2):
            side.send(view["topic"], [live(side, view, right, f"slow-{n}-{partition}")], partition)
    wait_features(side.settings, redis=False)
    sent = {f"live-{who}-{n}-{p}" for who in ("fast", "slow") for n in range(3) for p in range(2)}
    assert not late_ids(side, view) & sent
    assert {e.key for e in side.emitted(view)} >= sent


def test_an_event_beyond_the_limits_is_a_dead_letter_that_says_why(side: StreamSide) -> None:
    view = side.plan["views"][0]
    codec, now = side.codecs[view["topic"]], SystemClock().now_ms()
    ahead = codec.encode(event(codec.columns, "from-the-future", now + 3_600_000))
    side.send(view["topic"], [ahead, b"no event"])
    wait_archived(side.settings, [view["topic"]])
    dead = {m.value(): dict(m.headers()) for m in side.read(f"{view['topic']}.dead")}
    assert dead[ahead]["reason"].decode().startswith(f"ahead: {EVENT_TIME} {now + 3_600_000} lies 3")
    assert dead[b"no event"]["reason"] == b"frame: 8 bytes are no Avro message that names its schema"
