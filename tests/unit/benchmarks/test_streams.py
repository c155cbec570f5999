"""The figures of `make bench-streams`: who the events are of, and what is said of the rates."""

from __future__ import annotations

import io
from collections import Counter

from rich.console import Console

from benchmarks.harness.stream_events import Traffic
from benchmarks.harness.stream_report import DATASTREAM, OURS, TILES, TO_REDIS, stream_table, verdict
from benchmarks.harness.stream_run import StreamResult


def result(subject: str, rate: float, **more: float) -> StreamResult:
    return StreamResult(subject, 1, int(10 * rate), 10.0, 2.0, 1_000_000, {"kafka": 5.0, **more})


def test_ads_are_of_zipfs_law_and_the_same_every_time() -> None:
    traffic = Traffic(users=1_000, ads=100)
    keys = list(traffic.keys(20_000, 7))
    assert keys == list(traffic.keys(20_000, 7))
    ads = Counter(ad for _, ad in keys)
    assert ads["ad-0"] / ads["ad-9"] > 5  # 10 ** 1.1 = 12.6
    users = Counter(user for user, _ in keys)
    assert len(users) == 1_000
    assert max(users.values()) < 60


def test_every_target_is_judged_by_what_reached_redis() -> None:
    found = [result(OURS, 60_000), result(TO_REDIS, 20_000), result(TILES, 50_000), result(DATASTREAM, 4_000)]
    lines = verdict(found).splitlines()
    assert lines[0] == "target NOT met: 20,000 events/s to Redis (wanted 50,000)"
    assert lines[1] == "target NOT met: 5.00 times 'datastream' to Redis, 15.00 to Kafka (wanted 10.00)"
    assert lines[2] == "target met: 0.40 times 'tiles' to Redis, 1.20 to Kafka (wanted 0.33)"


def test_the_table_shows_each_part_and_a_dash_for_what_a_run_had_not() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(stream_table([result(OURS, 10), result(TO_REDIS, 10, redis_writer=7.5)], keys=1_000, events=100))
    text = console.export_text()
    assert "redis_writer" in text
    assert "1,000" in text  # bytes of state a key
    assert "12.5" in text  # CPU of both parts
    assert text.count(" - ") >= 3
