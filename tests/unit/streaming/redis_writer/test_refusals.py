"""A topic of dead letters is asked for once, however many rows are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from adfeast.clock import ManualClock
from adfeast.contract.topics import Topic
from adfeast.settings import Settings
from streaming.redis_writer import refusals
from streaming.redis_writer.refusals import Refusals


class Producer:
    """Takes everything."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.topics: list[str] = []

    def produce(self, topic: str, *_: Any, **__: Any) -> None:
        self.topics.append(topic)

    def poll(self, _timeout_s: float) -> int:
        return 0

    flush = poll


class Row:
    """A message of a feature topic."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    offset = partition

    def value(self) -> bytes:
        return b"no row"

    key = value


def test_a_thousand_refused_rows_open_one_control_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def ensure_topics(_bootstrap: str, wanted: Mapping[str, Topic]) -> list[str]:
        asked.append(sorted(wanted))
        return []

    producer = Producer()
    monkeypatch.setattr(refusals, "ensure_topics", ensure_topics)
    monkeypatch.setattr(refusals, "Producer", lambda *_, **__: producer)
    sent = Refusals(Settings(), ManualClock(1))
    rows: list[Any] = [(Row("features.p.gone"), "no view") for _ in range(500)]
    sent.send(rows)
    sent.send([*rows, (Row("features.p.other"), "no view")])
    assert asked == [["features.p.gone.dead"], ["features.p.other.dead"]]
    assert producer.topics == ["features.p.gone.dead"] * 1000 + ["features.p.other.dead"]
