"""Replays days of the data set by event time through the real prediction server, the way an ad server would call it.

Auctions go in slices. Within a slice all Predicts run at once; then the slice's impressions are reported in the order
of their times, then the clicks that have become due; only then comes the next slice, so that events reach Kafka in
order and no Predict sees an event of its own future. Every id but that of an answer is fixed by the data: a call
repeated after the server went away is recognised by its id, and an impression names the answer that it shows.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import ATTEMPT_ID, CLICKS, EVENT_ID, EVENT_TIME, IMPRESSIONS, REQUEST_ID
from adfeast.contract.signature import AD, USER
from demo.errors import StepFailed
from demo.traffic.freshness import FreshnessProbe
from demo.traffic.open_bandit import Auction, Event
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc

SLICE = 64
CONCURRENCY = 24
PROBE_EVERY = 8  # slices
DEADLINE_S = 5.0
RETRY_FOR_S = 60.0
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)


@dataclass(frozen=True)
class Served:
    """One answered auction: the score of the ad that was really shown, and what came of it."""

    request_id: str
    attempt_id: str
    time_ms: int
    score: float
    clicked: bool
    model_version: str
    latency_ms: float


@dataclass
class Replayed:
    """What a replay did; `seconds` is its wall-clock time and `retries` the calls that had to be repeated.

    `stale` are the answers that lacked the values of a stream view which had fallen behind.
    """

    served: list[Served] = field(default_factory=list)
    impressions: int = 0
    clicks: int = 0
    candidates: int = 0
    retries: int = 0
    stale: int = 0
    seconds: float = 0.0


class Replay:
    """One client of the prediction server.

    Args:
        address: host:port of the gRPC server.
        probe: watches one event in every few slices on its way to Redis; None measures nothing.
        progress: called after each slice with the number of auctions done.
        mark: called after each slice with the event time that is over; it stands in for the heartbeat of live traffic,
            so that windows decay in the replay's time.
    """

    def __init__(
        self,
        address: str,
        definitions: Definitions,
        probe: FreshnessProbe | None = None,
        progress: Callable[[int], None] = lambda _: None,
        mark: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._address, self._probe, self._progress, self._mark = address, probe, progress, mark
        self._user, self._ad = definitions.entities[USER], definitions.entities[AD]
        self._busy = asyncio.Semaphore(CONCURRENCY)
        self.result = Replayed()

    async def run(self, auctions: Sequence[Auction]) -> Replayed:
        """Replays `auctions`, which stand in the order of their times.

        Raises:
            StepFailed: the server stayed unreachable for a minute, or refused a call.
        """
        started = time.perf_counter()
        due: list[tuple[int, str, Event]] = []
        watching: set[asyncio.Task[None]] = set()
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub = adfeast_pb2_grpc.PredictionStub(channel)  # type: ignore[no-untyped-call]
            for number, start in enumerate(range(0, len(auctions), SLICE)):
                chunk = auctions[start : start + SLICE]
                answered = await asyncio.gather(*(self._predict(stub, a) for a in chunk))
                shown = [shown_event(a, s.attempt_id) for a, s in zip(chunk, answered, strict=True)]
                await self._impressions(stub, shown, number, watching)
                for a in chunk:
                    if a.click is not None:
                        heapq.heappush(due, (a.click[EVENT_TIME], a.click[EVENT_ID], a.click))
                await self._clicks(stub, due, chunk[-1].time_ms, watching)
                self.result.served += answered
                self.result.candidates += sum(len(a.ad_ids) for a in chunk)
                await asyncio.to_thread(self._mark, chunk[-1].time_ms - 1)
                self._progress(start + len(chunk))
            await self._clicks(stub, due, None, watching)
            await asyncio.gather(*watching)
        self.result.seconds += time.perf_counter() - started
        return self.result

    async def _predict(self, stub: Any, auction: Auction) -> Served:
        answer = await self._call(stub.Predict, request_of(auction, self._user))
        self.result.stale += bool(answer.stale_views)
        shown = auction.ad_ids.index(auction.impression[self._ad])
        return Served(
            auction.impression[REQUEST_ID],
            answer.attempt_id,
            auction.time_ms,
            answer.scores[shown],
            auction.click is not None,
            answer.model_version,
            answer.latency_ms,
        )

    async def _impressions(
        self, stub: Any, events: list[Event], number: int, watching: set[asyncio.Task[None]]
    ) -> None:
        watched = events[-1] if self._probe and number % PROBE_EVERY == 0 else None
        await self._log(stub.LogImpression, IMPRESSIONS, events, watched, watching)
        self.result.impressions += len(events)

    async def _clicks(
        self, stub: Any, due: list[tuple[int, str, Event]], until: int | None, watching: set[asyncio.Task[None]]
    ) -> None:
        events = []
        while due and (until is None or due[0][0] <= until):
            events.append(heapq.heappop(due)[2])
        if events:
            await self._log(stub.LogClick, CLICKS, events, events[-1] if self._probe else None, watching)
            self.result.clicks += len(events)

    async def _log(
        self, method: Any, topic: str, events: list[Event], watched: Event | None, watching: set[asyncio.Task[None]]
    ) -> None:
        views = await self._probe.candidates(topic, watched) if self._probe and watched else []
        request = pb.LogEventsRequest(events=[pb.Event(fields=values(e)) for e in events])
        answer = await self._call(method, request)
        if answer.accepted != len(events):
            raise StepFailed(f"{len(events)} {topic} sent, {answer.accepted} accepted")
        if self._probe and watched and views:
            task = asyncio.create_task(self._probe.watch(views, watched, time.perf_counter()))
            watching.add(task)
            task.add_done_callback(watching.discard)

    async def _call(self, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        give_up = time.monotonic() + RETRY_FOR_S
        pause = 0.05
        while True:
            try:
                async with self._busy:
                    return await method(request, timeout=DEADLINE_S, wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN or time.monotonic() > give_up:
                    raise StepFailed(f"{self._address}: {error.code().name}: {error.details()}") from error
                self.result.retries += 1
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)


def shown_event(auction: Auction, attempt_id: str) -> Event:
    """The impression of an auction, naming the answer that was shown."""
    return auction.impression | {ATTEMPT_ID: attempt_id}


def request_of(auction: Auction, user_key: str) -> pb.PredictRequest:
    """The Predict of an auction, dated as its impression."""
    when = Timestamp()
    when.FromMilliseconds(auction.time_ms)
    return pb.PredictRequest(
        user_id=auction.impression[user_key],
        ad_ids=auction.ad_ids,
        context=values(auction.context),
        event_time=when,
        request_id=auction.impression[REQUEST_ID],
    )


def values(fields: Mapping[str, str | int | float | bool]) -> dict[str, pb.Value]:
    """The fields of an event or a context as the proto says them."""
    return {name: _value(v) for name, v in fields.items()}


def _value(v: str | int | float | bool) -> pb.Value:
    if isinstance(v, bool):
        return pb.Value(flag=v)
    if isinstance(v, int):
        return pb.Value(integer=v)
    return pb.Value(text=v) if isinstance(v, str) else pb.Value(number=v)
