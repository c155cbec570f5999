"""A circuit breaker: after some failures in a row nobody asks a dependency any more, but for one probe now and then.

Without it every request would wait its whole budget for a store that is away, and fill that store's queue for when it
comes back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Breaker:
    """Closed: everybody may ask. Open: nobody. Half open: one may, and what comes of it decides.

    A probe of which nothing is heard any more (its caller went away) is followed by another one a pause later.

    Args:
        name: of what it guards.
        now: seconds, monotonic.
        failures: how many in a row open it.
        pause_s: from opening to the first probe; doubled by each probe that fails, up to `longest_s`.

    Attributes:
        reason: of the last failure while it is not closed, else empty.
        opened: how often it has opened.
    """

    def __init__(
        self,
        name: str,
        now: Callable[[], float] = time.monotonic,
        *,
        failures: int = 5,
        pause_s: float = 0.25,
        longest_s: float = 2.0,
    ) -> None:
        self.name, self.reason, self.opened = name, "", 0
        self._now, self._limit, self._first_s, self._longest_s = now, failures, pause_s, longest_s
        self._failures, self._pause_s = 0, pause_s
        self._until: float | None = None  # no probe before; None while it is closed
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether everybody may ask."""
        return self._until is None

    def allows(self) -> bool:
        """Whether the caller may ask now; who may tells `succeeded` or `failed` what came of it."""
        if self._until is None:
            return True
        now = self._now()
        if now < self._until:
            return False
        self._until, self._probing = now + self._pause_s, True
        return True

    def succeeded(self) -> None:
        """An answer came in time."""
        if self._until is not None:
            log.warning("%s answers again", self.name)
        self._failures, self._pause_s, self._until, self._probing, self.reason = 0, self._first_s, None, False, ""

    def failed(self, reason: str) -> None:
        """None came."""
        if self._until is not None:
            if self._probing:  # else it was asked before the breaker opened, and says nothing new
                self._probing, self.reason = False, reason
                self._pause_s = min(2 * self._pause_s, self._longest_s)
                self._until = self._now() + self._pause_s
            return
        self._failures += 1
        if self._failures >= self._limit:
            self.reason, self.opened = reason, self.opened + 1
            self._until = self._now() + self._pause_s
            log.error("%s is not asked any more, after %d failures in a row: %s", self.name, self._failures, reason)
