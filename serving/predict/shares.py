"""Which rungs the answers of the last minute came from."""

from __future__ import annotations

from collections import Counter, deque

from adfeast.clock import Clock
from adfeast.contract.rungs import Rung

STEP_MS, STEPS = 5_000, 12


class RungShares:
    """Counts by steps of five seconds and forgets those of more than a minute ago."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps: deque[tuple[int, Counter[int]]] = deque()

    def count(self, rung: int) -> None:
        """An answer, by the rung of most of its candidates."""
        step = self._clock.now_ms() // STEP_MS
        if not self._steps or self._steps[-1][0] != step:
            self._steps.append((step, Counter()))
            self._forget(step)
        self._steps[-1][1][rung] += 1

    def last_minute(self) -> dict[str, int]:
        """Rung to answers, the best first; those that none came from are left out."""
        self._forget(self._clock.now_ms() // STEP_MS)
        total: Counter[int] = Counter()
        for _, counts in list(self._steps):
            total.update(counts)
        return {rung.text: total[rung] for rung in Rung if total[rung]}

    def _forget(self, now: int) -> None:
        while self._steps and self._steps[0][0] <= now - STEPS:
            self._steps.popleft()
