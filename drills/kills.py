"""Kills programs with SIGKILL at random moments; the supervisor starts them again."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence

from infra.local.errors import PartFailed, PlatformError
from infra.local.platform.platform import Platform

SERVERS = ("prediction_server", "prediction_server_2")
PROGRAMS = (*SERVERS, "redis_writer", "heartbeat", "reconciler")
READY_S = 240.0


class Killer:
    """Kills one program after the other, in a thread of its own; never the only server that answers.

    Args:
        period_s: mean time between a program's return and the next kill.

    Attributes:
        killed: how often each program was.
        problems: programs that did not come back.
    """

    def __init__(self, platform: Platform, period_s: float, seed: int, programs: Sequence[str] = PROGRAMS) -> None:
        self._platform, self._period_s, self._programs = platform, period_s, programs
        self._dice = random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.problems: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends once what was killed is back."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        turn: list[str] = []
        while not self._stop.wait(self._dice.uniform(0.5, 1.5) * self._period_s):
            if not turn:  # everybody once, in another order each time
                turn = self._dice.sample(self._programs, len(self._programs))
            victim = turn.pop()
            try:
                self._platform.kill(victim)
                self.killed[victim] += 1
                self._platform.wait(victim, READY_S)
            except (PartFailed, PlatformError) as error:
                self.problems.append(f"{victim} did not come back: {str(error).splitlines()[0]}")
