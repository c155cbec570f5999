"""What a prediction server counts and shows of itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.metrics_core import Metric as Family

from adfeast import metrics
from adfeast.clock import Clock
from adfeast.contract.events import CLICKS, IMPRESSIONS
from adfeast.contract.rungs import Rung
from adfeast.errors import InvalidEvent
from serving.admission import Admission
from serving.api import Prediction
from serving.clients.breaker import Breaker
from serving.clients.kafka import KafkaProducer
from serving.errors import InvalidRequest
from serving.features.freshness import Watermarks
from serving.live import Live
from serving.loops import Loop
from serving.predict.shares import RungShares
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc
from serving.queue_time import QueueTime

AHEAD = "ahead"  # the rule that an event breaks whose sender has a fast clock


class ServerMetrics:
    """Counters of one process; written by its event loop, read by the thread that shows them.

    Args:
        breakers: of everything that a fresh score is made of.
        loops: what runs beside the requests.
        producers: by name.

    Attributes:
        shares: which rungs the answers of the last minute came from.
    """

    def __init__(
        self,
        live: Callable[[], Live],
        watermarks: Watermarks,
        queue: QueueTime,
        clock: Clock,
        *,
        breakers: Sequence[Breaker],
        loops: Sequence[Loop],
        producers: Mapping[str, KafkaProducer],
        admission: Admission,
    ) -> None:
        self._live, self._watermarks, self._queue = live, watermarks, queue
        self._clock, self._breakers = clock, breakers
        self._loops, self._producers, self._admission = loops, producers, admission
        self.shares = RungShares(clock)
        self._answers = 0
        self._rungs: Counter[int] = Counter()
        self._candidates: Counter[int] = Counter()
        self._stale: Counter[str] = Counter()
        self._refused: Counter[tuple[str, str]] = Counter()

    def answered(self, response: pb.PredictResponse) -> None:
        """Counts an answer, and what it lacked."""
        self._answers += 1
        self._rungs[response.rung] += 1
        self.shares.count(response.rung)
        others = 0
        for deviation in response.deviations:
            self._candidates[deviation.rung] += len(deviation.ads)
            others += len(deviation.ads)
        self._candidates[response.rung] += len(response.scores) - others
        if response.stale_views:
            self._stale.update(response.stale_views)

    def refused(self, topic: str, problem: Exception) -> None:
        """Counts a call whose events were refused, by the rule that one of them broke."""
        why = problem.__cause__
        self._refused[topic, (why.rule if isinstance(why, InvalidEvent) else "") or "form"] += 1

    def families(self) -> Iterator[Family]:
        """See `adfeast.metrics`."""
        now, views = self._clock.now_ms(), [v.name for v in self._live().plan.stream_views]
        known = {view: self._watermarks.of(view) for view in views}
        ages = {(view,): math.inf if ms is None else (now - ms) / 1000 for view, ms in known.items()}
        yield metrics.SERVED_WATERMARK_AGE.family(ages)
        yield metrics.ANSWERS.family({(): self._answers})
        yield metrics.QUEUE_SECONDS.family({(): self._queue.waited_s})
        yield metrics.QUEUE_LOOKS.family({(): self._queue.looks})
        yield metrics.RUNG_ANSWERS.family({(rung.text,): self._rungs[rung] for rung in Rung})
        yield metrics.RUNG_CANDIDATES.family({(rung.text,): self._candidates[rung] for rung in Rung})
        yield metrics.AWAY.family({(b.name,): int(not b.closed) for b in self._breakers})
        yield metrics.LOST_TIMES.family({(b.name,): b.opened for b in self._breakers})
        # Nobody sees the first step of a counter that was not there before: those of alerts are, from the start.
        yield metrics.STALE_ANSWERS.family({(v,): self._stale[v] for v in {*views, *self._stale.copy()}})
        ahead = {(topic, AHEAD): 0 for topic in (IMPRESSIONS, CLICKS)}
        yield metrics.REFUSED_EVENTS.family(ahead | self._refused.copy())
        yield metrics.SHED.family({(name,): count for name, count in self._admission.shed.items()})
        yield metrics.LOOP_AGE.family({(loop.name,): loop.age_s(now) for loop in self._loops})
        yield metrics.LOOP_FAILURES.family({(loop.name,): loop.failures for loop in self._loops})
        yield metrics.PRODUCERS_RENEWED.family({(name,): p.renewed for name, p in self._producers.items()})


class CountedPrediction(pb_grpc.PredictionServicer):
    """The service, with what it answers and refuses counted."""

    def __init__(self, service: Prediction, metrics: ServerMetrics) -> None:
        self._service, self._metrics = service, metrics

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse:  # noqa: N802
        """See adfeast.proto."""
        response = await self._service.Predict(request, context)
        self._metrics.answered(response)
        return response

    async def LogImpression(self, request: pb.LogEventsRequest, context: Any) -> pb.LogEventsResponse:  # noqa: N802
        """See adfeast.proto."""
        return await self._log(IMPRESSIONS, self._service.LogImpression(request, context))

    async def LogClick(self, request: pb.LogEventsRequest, context: Any) -> pb.LogEventsResponse:  # noqa: N802
        """See adfeast.proto."""
        return await self._log(CLICKS, self._service.LogClick(request, context))

    async def Status(self, request: pb.StatusRequest, context: Any) -> pb.StatusResponse:  # noqa: N802
        """See adfeast.proto."""
        return await self._service.Status(request, context)

    async def _log(self, topic: str, answer: Awaitable[pb.LogEventsResponse]) -> pb.LogEventsResponse:
        try:
            return await answer
        except InvalidRequest as error:
            self._metrics.refused(topic, error)
            raise
