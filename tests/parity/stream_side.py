"""A platform of its own for tests of the stream side: event time is one for all who use a topic."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EventCodec
from adfeast.contract.rows import Layout
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import ROOT, Settings
from drills import edits
from infra.local.platform.platform import REPLAY, Platform
from streaming.kafka_admin import end_offsets
from streaming.plan import Plan, make_plan
from streaming.submit import submit
from tests.parity.naive import Emitted

VIEWS = "stream_views.py"
PARTS = ["valkey", "kafka", "dynamodb", "flink_jobmanager", "flink_taskmanager"]


class StreamSide:
    """The running parts with both jobs submitted.

    Attributes:
        definitions: what is applied; `plan` what runs.
    """

    def __init__(self, platform: Platform, settings: Settings, quick: bool) -> None:
        self.platform, self.settings = platform, settings
        self.definitions: Definitions = load_definitions(settings)
        timings = {"idle_timeout_ms": 15_000, "features_checkpoint_ms": 1_000, "archive_checkpoint_ms": 1_000}
        self.plan: Plan = make_plan(self.definitions, settings, **(timings if quick else {}))
        self.codecs = {t: EventCodec(t, s) for t, s in self.definitions.events.items()}
        submit(self.plan, settings)

    def send(self, topic: str, messages: Iterable[Mapping[str, Any] | bytes], partition: int = 0) -> None:
        """Produces events, or bytes as they are, to one partition, so that their order is known."""
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap})
        for message in messages:
            value = message if isinstance(message, bytes) else self.codecs[topic].encode(message)
            producer.produce(topic, value=value, partition=partition)
            producer.poll(0)
        assert producer.flush(20) == 0

    def read(self, topic: str) -> list[Message]:
        """Everything a topic holds now, in the order of its partitions."""
        consumer = Consumer(
            {"bootstrap.servers": self.settings.kafka_bootstrap, "group.id": "test", "enable.auto.commit": False}
        )
        ends = end_offsets(self.settings.kafka_bootstrap, [topic])
        consumer.assign([TopicPartition(t, p, 0) for t, p in ends])
        found: list[Message] = []
        until = time.monotonic() + 30
        while len(found) < sum(ends.values()):
            assert time.monotonic() < until, f"{topic} gave only {len(found)} of {sum(ends.values())} messages"
            # It waits for as many as it is asked for: not more than are left.
            found += consumer.consume(min(1000, sum(ends.values()) - len(found)), timeout=1)
        consumer.close()
        return found

    def emitted(self, view: Mapping[str, Any]) -> list[Emitted]:
        """The rows of a view's feature topic."""
        rows = []
        layout = Layout.of(self.definitions.views[view["name"]])
        for message in self.read(view["output"]):
            ms, row = layout.decode(message.value())
            if row:
                rows.append(Emitted(message.key().decode(), ms, tuple(sorted(row.items()))))
        return rows


@contextmanager
def stream_side(folder: Path, *, quick: bool = True, left_out: Iterable[int] = ()) -> Iterator[StreamSide]:
    """Up, applied and submitted; down at the end with nothing left.

    Args:
        quick: with short intervals; else just as the reconciler plans.
        left_out: stream views, by their order in the repository, of which a test that starts jobs again and again
            has enough without.
    """
    from adfeast.feast_ext.store import apply

    repo = folder / "feature_repo"
    shutil.copytree(ROOT / "feature_repo", repo, ignore=shutil.ignore_patterns("__pycache__"))
    views = re.findall(r"^(\w+) = stream_view\(", (repo / VIEWS).read_text(), re.MULTILINE)
    for view in [views[n] for n in left_out]:
        edits.take_out_of_the_service(repo, view)
        edits.remove_the_view(repo, view, VIEWS)
    platform = Platform(folder, PARTS, {**REPLAY, "feature_repo": str(repo)})
    try:
        platform.up()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ADFEAST_SETTINGS", str(platform.home.settings_file))
            apply(platform.settings)
            platform.create_topics()
            yield StreamSide(platform, platform.settings, quick)
    finally:
        left = platform.down()
    assert left == []
