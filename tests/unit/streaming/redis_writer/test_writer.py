"""A writer reads the feature topics of its own project, on a Kafka that it shares with others."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from adfeast.clock import ManualClock
from adfeast.contract.rows import record_layouts
from adfeast.contract.topics import dead_letter_topic, features_topic, late_topic
from adfeast.settings import Settings
from streaming.redis_writer import refusals, store, writer
from streaming.redis_writer.writer import RedisWriter
from tests.unit.streaming.jobs.test_sql import definitions
from tests.unit.streaming.redis_writer.test_store import Redis


class Consumer:
    """Keeps what it is subscribed to, and ends the writer."""

    stop = threading.Event()
    patterns: list[str] = []  # noqa: RUF012 (the one consumer is made by what is tested)

    def __init__(self, *_: Any, **__: Any) -> None:
        """As Kafka's."""

    def subscribe(self, patterns: list[str], **_: Any) -> None:
        self.patterns[:] = patterns
        self.stop.set()

    def close(self) -> None:
        """Does not fail."""


def test_of_two_projects_each_writer_reads_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "ensure_topics", lambda *_: [])
    monkeypatch.setattr(store, "Connection", Redis)
    monkeypatch.setattr(writer, "Consumer", Consumer)
    settings = Settings(project="p", registry_url=f"sqlite:///{tmp_path}/registry.db", kafka_bootstrap="127.0.0.1:9")
    record_layouts(settings, definitions().views.values())
    RedisWriter(settings, definitions, ManualClock(1)).run(Consumer.stop)
    [pattern] = Consumer.patterns
    assert pattern.startswith("^")  # or librdkafka takes it for a name
    mine = features_topic("p", "shop_bids")
    others = [features_topic(project, "shop_bids") for project in ("q", "p2", "p_2")]
    assert [t for t in (mine, dead_letter_topic(mine), late_topic("p", "shop_bids"), *others) if re.match(pattern, t)] == [
        mine
    ]
