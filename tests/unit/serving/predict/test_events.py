"""A server takes the events of whatever topics are declared, and needs none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adfeast.clock import ManualClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, IMPRESSIONS
from adfeast.settings import Settings
from serving.clients.kafka import KafkaProducer
from serving.errors import NoEventSource
from serving.predict.events import EventLogs


def schema(*columns: str) -> dict[str, Any]:
    time = {"type": "long", "logicalType": "timestamp-millis"}
    texts = [{"name": c, "type": "string"} for c in ("event_id", *columns)]
    return {"type": "record", "name": "Event", "fields": [*texts, {"name": "event_timestamp", "type": time}]}


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[EventLogs]:
    url = f"sqlite:///{tmp_path}/registry.db"
    producer = KafkaProducer("127.0.0.1:1", linger_ms=1)
    yield EventLogs(Settings(registry_url=url, ledger_url=url), producer, ManualClock())
    producer.close(0.1)


def test_without_clicks_impressions_are_taken_and_a_click_is_refused_by_name(
    logs: EventLogs, definitions: Definitions
) -> None:
    asyncio.run(logs.refresh(replace(definitions, events={IMPRESSIONS: schema("user_name")})))
    assert logs.problems == ()
    assert logs.of(IMPRESSIONS).schema == schema("user_name")
    with pytest.raises(NoEventSource, match="no event source 'clicks' is applied: declare it"):
        logs.of(CLICKS)


def test_a_topic_that_no_message_can_be_keyed_by_is_named_and_the_others_are_taken(
    logs: EventLogs, definitions: Definitions
) -> None:
    asyncio.run(logs.refresh(replace(definitions, events={IMPRESSIONS: schema("user_name"), CLICKS: schema("nobody")})))
    assert logs.of(IMPRESSIONS)
    assert ["'clicks' has no column 'user_name'" in p for p in logs.problems] == [True]
