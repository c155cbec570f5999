"""An ad server: Predicts at a steady rate, then the impressions and clicks that follow; everything is remembered.

It calls as adfeast's users are told to: one channel to one address with a retry policy for UNAVAILABLE and
RESOURCE_EXHAUSTED, and the same call again until events are acknowledged. A Predict counts as failed when the call ends
with an error after that.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from adfeast.clock import SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import ATTEMPT_ID, CLICKS, EVENT_ID, EVENT_TIME, IMPRESSION_ID, IMPRESSIONS, REQUEST_ID
from adfeast.contract.signature import AD, USER
from benchmarks.harness.auctions import OPTIONS
from demo.traffic.replay import values
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc

Event = dict[str, Any]
DEADLINE_S = 10.0
FLUSH_S = 0.1
BATCH = 1_000  # events of a call; a server takes no more than its max_events
CANDIDATES = 20
CLICK_RATE = 0.2
LONGEST_CLICK_DELAY_S = 3.0


@dataclass
class Seen:
    """What the ad server saw.

    Attributes:
        answered: Predicts by the model that answered.
        failed: one text a Predict that failed.
        latency_ms: of every answered Predict.
        acknowledged: events by topic.
        stale: (monotonic seconds, views) whenever other views are marked stale than in the answer before.
        last_s: monotonic seconds of the last answer.
    """

    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    acknowledged: dict[str, list[Event]] = field(default_factory=lambda: {IMPRESSIONS: [], CLICKS: []})
    repeated_logs: int = 0
    stale: list[tuple[float, frozenset[str]]] = field(default_factory=lambda: [(0.0, frozenset())])
    last_s: float = 0.0


class Traffic:
    """One ad server in a thread of its own.

    Args:
        rate: Predicts a second.

    Attributes:
        context: what it says of each auction; may be added to while it runs.
        extra: columns it sends beside those that every impression needs; may be added to while it runs.
    """

    def __init__(
        self, address: str, definitions: Definitions, users: Sequence[str], ads: Sequence[str], rate: float, seed: int
    ) -> None:
        self._address, self._rate, self._users, self._ads = address, rate, users, ads
        self._user, self._ad = definitions.entities[USER], definitions.entities[AD]
        self._columns = {t: {f["name"]: f for f in definitions.events[t]["fields"]} for t in (IMPRESSIONS, CLICKS)}
        self._dice, self._clock, self._numbers = random.Random(seed), SystemClock(), 0
        asked = [f for features in definitions.request_sources.values() for f in features]
        self.context: dict[str, str | int | float] = {f.name: "one" if f.dtype == "string" else 1 for f in asked}
        self.extra: dict[str, str | int | float] = {}
        self.seen = Seen()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic")

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> Seen:
        """Ends when every event is acknowledged; returns what was seen."""
        self._stop.set()
        self._thread.join()
        return self.seen

    async def _run(self) -> None:
        waiting: dict[str, list[Event]] = {IMPRESSIONS: [], CLICKS: []}
        async with grpc.aio.insecure_channel(self._address, options=OPTIONS) as channel:
            stub = adfeast_pb2_grpc.PredictionStub(channel)  # type: ignore[no-untyped-call]
            loggers = [asyncio.create_task(self._log(stub, topic, waiting[topic])) for topic in waiting]
            asked: set[asyncio.Task[None]] = set()
            due = time.monotonic()
            while not self._stop.is_set():
                task = asyncio.create_task(self._auction(stub, waiting))
                asked.add(task)
                task.add_done_callback(asked.discard)
                due += 1 / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.gather(*asked)
            for topic in waiting:
                while waiting[topic]:
                    await asyncio.sleep(FLUSH_S)
            for logger in loggers:
                logger.cancel()
            await asyncio.gather(*loggers, return_exceptions=True)

    async def _auction(self, stub: Any, waiting: dict[str, list[Event]]) -> None:
        dice = self._dice
        self._numbers += 1
        request = pb.PredictRequest(
            user_id=dice.choice(self._users),
            ad_ids=dice.sample(self._ads, min(CANDIDATES, len(self._ads))),
            context=values(self.context),
            request_id=f"request-{self._numbers}",
        )
        shown_position, clicked, delay = dice.random(), dice.random() < CLICK_RATE, dice.random()
        begun = time.perf_counter()
        try:
            answer = await stub.Predict(request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            self.seen.failed.append(f"{time.strftime('%H:%M:%S')} {error.code().name}: {error.details()}")
            return
        self.seen.latency_ms.append(1000 * (time.perf_counter() - begun))
        self.seen.answered[answer.model_version] += 1
        self.seen.last_s, stale = time.monotonic(), frozenset(answer.stale_views)
        if stale != self.seen.stale[-1][1]:
            self.seen.stale.append((self.seen.last_s, stale))
        common = {
            REQUEST_ID: request.request_id,
            self._user: request.user_id,
            self._ad: request.ad_ids[int(shown_position * len(request.ad_ids))],
        }
        shown = common | {EVENT_ID: f"i-{request.request_id}", ATTEMPT_ID: answer.attempt_id, **self.extra}
        waiting[IMPRESSIONS].append(self._event(IMPRESSIONS, shown))
        if clicked:
            await asyncio.sleep(delay * LONGEST_CLICK_DELAY_S)
            click = common | {EVENT_ID: f"c-{request.request_id}", IMPRESSION_ID: shown[EVENT_ID]}
            waiting[CLICKS].append(self._event(CLICKS, click))

    def _event(self, topic: str, given: Event) -> Event:
        """With every column that has no default, and the time."""
        whole = dict(given)
        for name, column in self._columns[topic].items():
            if name not in whole and "default" not in column and name != EVENT_TIME:
                whole[name] = "somewhere" if column["type"] == "string" else 1
        return whole | {EVENT_TIME: self._clock.now_ms()}

    async def _log(self, stub: Any, topic: str, waiting: list[Event]) -> None:
        method = {IMPRESSIONS: stub.LogImpression, CLICKS: stub.LogClick}[topic]
        while True:
            await asyncio.sleep(FLUSH_S)
            batch = list(waiting)[:BATCH]
            if not batch:
                continue
            request = pb.LogEventsRequest(events=[pb.Event(fields=values(e)) for e in batch])
            try:
                await method(request, timeout=DEADLINE_S)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                self.seen.repeated_logs += 1
                continue
            self.seen.acknowledged[topic] += batch
            del waiting[: len(batch)]
