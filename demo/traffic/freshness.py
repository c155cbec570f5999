"""Measures how long after its acknowledgement an event can be seen in Redis.

It reads what Feast would read: the timestamp field of a stream view in the hash of the entity. Feast keeps that time in
whole seconds, so an event is only watched if the view's time is older than the event's second beforehand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from adfeast.contract.definitions import Definitions, View
from adfeast.contract.events import EVENT_TIME
from adfeast.feast_ext.online_layout import redis_key, redis_time_field
from adfeast.settings import Settings

POLL_S = 0.002
GIVE_UP_S = 10.0


@dataclass
class Freshness:
    """Seconds from acknowledgement to visibility, by view, and how many events were not seen in time."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    unseen: int = 0


class FreshnessProbe:
    """Watches single events on their way into the stream views."""

    def __init__(self, settings: Settings, definitions: Definitions) -> None:
        self._client = redis.asyncio.Redis(host=settings.redis_host, port=settings.redis_port)
        self._project = definitions.project
        self._views = [v for v in definitions.views.values() if v.kind == "stream"]
        self.result = Freshness()

    async def candidates(self, topic: str, event: Mapping[str, Any]) -> list[View]:
        """The views of `topic` in which the event will be told from what stands there now."""
        second = event[EVENT_TIME] // 1000
        return [v for v in self._views if v.topic == topic and await self._time_of(v, event) < second]

    async def watch(self, views: list[View], event: Mapping[str, Any], acknowledged: float) -> None:
        """Waits until every view shows the event; `acknowledged` is a `time.perf_counter()`."""
        second = event[EVENT_TIME] // 1000
        waiting = list(views)
        while waiting:
            for view in list(waiting):
                if await self._time_of(view, event) >= second:
                    self.result.seconds.setdefault(view.name, []).append(time.perf_counter() - acknowledged)
                    waiting.remove(view)
            if time.perf_counter() - acknowledged > GIVE_UP_S:
                self.result.unseen += len(waiting)
                return
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        await self._client.aclose()

    async def _time_of(self, view: View, event: Mapping[str, Any]) -> int:
        key = redis_key(view.join_key, event[view.join_key], self._project)
        raw = await self._client.hget(key, redis_time_field(view.name))
        return int(Timestamp.FromString(raw).seconds) if raw else 0
