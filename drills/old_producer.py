"""A sender of its own, which writes impressions straight to Kafka: one that nobody updates, or whose clock is wrong.

Its schema is the one that was applied when it was started.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Producer

from adfeast.clock import SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EVENT_ID, EVENT_TIME, IMPRESSIONS, EventCodec
from adfeast.contract.signature import AD, USER
from adfeast.settings import Settings

PERIOD_S = 0.5


class OldProducer:
    """Writes in a thread of its own.

    Args:
        name: its event ids begin so.
        ahead_ms: how fast its clock is.

    Attributes:
        acknowledged: the events that Kafka confirmed.
    """

    def __init__(
        self,
        settings: Settings,
        definitions: Definitions,
        users: Sequence[str],
        ads: Sequence[str],
        seed: int,
        *,
        name: str = "old",
        ahead_ms: int = 0,
    ) -> None:
        self._name, self._ahead_ms = name, ahead_ms
        schema = definitions.events[IMPRESSIONS]
        self._codec = EventCodec(IMPRESSIONS, schema)
        self._columns = schema["fields"]
        self._user, self._ad = definitions.entities[USER], definitions.entities[AD]
        self._users, self._ads, self._dice = users, ads, random.Random(seed)
        self._producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
        self._clock, self._number = SystemClock(), 0
        self.acknowledged: list[dict[str, Any]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> list[dict[str, Any]]:
        """Ends when Kafka has everything; returns the events."""
        self._stop.set()
        self._thread.join()
        self._producer.flush(30)
        return self.acknowledged

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self._number += 1
            event: dict[str, Any] = {
                column["name"]: self._name if column["type"] == "string" else 0
                for column in self._columns
                if "default" not in column
            }
            event |= {EVENT_ID: f"{self._name}-{self._number}", EVENT_TIME: self._clock.now_ms() + self._ahead_ms}
            event |= {self._user: self._dice.choice(self._users), self._ad: self._dice.choice(self._ads)}

            def confirmed(error: object, _message: object, sent: dict[str, Any] = event) -> None:
                if error is None:
                    self.acknowledged.append(sent)

            self._producer.produce(
                IMPRESSIONS, self._codec.encode(event), event[self._user].encode(), on_delivery=confirmed
            )
            self._producer.poll(0)
