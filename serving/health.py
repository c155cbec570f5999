"""Whether a server is serving, ready, degraded: three things that a load balancer and a person want to tell apart.

In gRPC's health protocol "" is *serving*: the process is alive and takes events. `adfeast.v1.Prediction` is *ready*: it
has a model and answers every Predict, on whatever rung. `adfeast.v1.Prediction.full` is SERVING only while it is not
*degraded*: everything that a fresh score is made of answers. Only the first two should take a server out of traffic:
what makes one server degraded makes all of them so.

What answers is judged by the breakers, and so that a server without traffic does not believe what it knew an hour ago,
it asks everything itself twice a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grpc_health.v1 import health, health_pb2

from adfeast.clock import Clock
from serving.api import SERVICE
from serving.budget import Budget
from serving.clients.breaker import Breaker
from serving.features.columns import Rows
from serving.live import Live
from serving.predict.ladder import Ladder

FULL = f"{SERVICE}.full"
LOOK_S = 0.5
STARTING, READY, DEGRADED = "starting", "ready", "degraded"
PROBE = "health"  # a user and an ad that nobody has stored
_GRPC = health_pb2.HealthCheckResponse


class Health:
    """The health of one process.

    Args:
        breakers: of everything that a fresh score is made of.
        budget: of its own questions; that of requests, for what is too slow for them is away.
    """

    def __init__(
        self, live: Callable[[], Live], ladder: Ladder, breakers: Sequence[Breaker], budget: Budget, clock: Clock
    ) -> None:
        self.servicer = health.aio.HealthServicer()
        self._live, self._ladder, self._breakers, self._clock = live, ladder, breakers, clock
        self._budget = budget
        self._model_problem = ""

    @property
    def away(self) -> tuple[str, ...]:
        """What is not asked for requests any more, or answers nonsense, each with the reason."""
        found = [f"{b.name} is away: {b.reason}" for b in self._breakers if not b.closed]
        return (*found, self._model_problem) if self._model_problem else tuple(found)

    @property
    def state(self) -> str:
        """`starting`, `ready` or `degraded`."""
        if self._live().answers is None:
            return STARTING
        return DEGRADED if self.away else READY

    async def look(self) -> None:
        """Asks everything once, and says what came of it."""
        live = self._live()
        await live.reader.read(PROBE, [PROBE], Rows(live.plan.request, 1), self._clock.now_ms(), self._budget)
        if live.answers is not None:
            self._model_problem = await self._ladder.probe(live.answers.model, self._budget.triton_s)
        await self.tell()

    async def tell(self) -> None:
        """Says what is known."""
        state = self.state
        for name, well in ((SERVICE, state != STARTING), (FULL, state == READY)):
            await self.servicer.set(name, _GRPC.SERVING if well else _GRPC.NOT_SERVING)
