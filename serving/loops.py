"""What runs beside the requests, again and again: it outlives failures, and how long it has not worked is shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from adfeast.clock import Clock

log = logging.getLogger(__name__)


class Loop:
    """One piece of work, done again and again until cancelled.

    Args:
        name: of the work, in log and metrics.
        work: raises when it could not be done, or returns why if it has said so itself; what it knew still holds then.
        every_s: pause after it.

    Attributes:
        failures: since the start.
        problem: of the last time; empty when the work was done.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[str | None]], every_s: float, clock: Clock) -> None:
        self.name, self.failures, self.problem = name, 0, ""
        self._work, self._every_s, self._clock = work, every_s, clock
        self._done_ms = clock.now_ms()

    def age_s(self, now_ms: int) -> float:
        """How long ago the work was done last, or the loop was made."""
        return (now_ms - self._done_ms) / 1000

    async def run(self) -> None:
        """Until cancelled; nothing else ends it."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.once()

    async def once(self) -> None:
        """Does the work once; a failure is counted, and logged when it is another than that of the last time."""
        try:
            said = await self._work()
        except Exception as error:
            self.failures += 1
            problem = f"{type(error).__name__}: {error}"
            if problem != self.problem:
                log.error("%s fails, and is tried again: %s", self.name, problem, exc_info=error)
            self.problem = problem
            return
        if said:
            self.failures, self.problem = self.failures + 1, said
            return
        if self.problem:
            log.info("%s works again", self.name)
        self.problem, self._done_ms = "", self._clock.now_ms()
