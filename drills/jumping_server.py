"""A prediction server whose clock jumps: each SIGUSR1 sets it an hour ahead, an hour behind, and right again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal

import uvloop

from adfeast.clock import SystemClock
from adfeast.settings import load_settings
from serving.app import serve

HOUR_MS = 3_600_000
JUMPS = (HOUR_MS, -HOUR_MS, 0)


class JumpingClock:
    """The host's clock, and what it is wrong by."""

    def __init__(self) -> None:
        self._clock, self._off_ms = SystemClock(), 0
        self._jumps = itertools.cycle(JUMPS)

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._off_ms

    def jump(self) -> None:
        """Goes to the next of `JUMPS`."""
        self._off_ms = next(self._jumps)


async def _run() -> None:
    clock = JumpingClock()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, clock.jump)
    await serve(load_settings(), clock)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvloop.run(_run())
