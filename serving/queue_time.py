"""How long work that could run waits for the event loop: what a request waits before anybody looks at it.

One process is one loop, so this is its queue; it grows before the CPU is full, and is what servers are added by.
"""

from __future__ import annotations

import asyncio

PERIOD_S = 0.05


class QueueTime:
    """Attributes:
    waited_s: what all looks together came late.
    looks: how many there were.
    """

    def __init__(self) -> None:
        self.waited_s, self.looks = 0.0, 0

    async def follow(self) -> None:
        """Looks until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self.waited_s += max(loop.time() - due, 0.0)
            self.looks += 1
