"""How long one Predict may wait for whom: a budget a stage, inside the caller's deadline."""

from __future__ import annotations

from dataclasses import dataclass

from adfeast.settings import Settings

USUAL_CANDIDATES = 250  # a request of more may take as much longer: ten times the rows are no sign of a stalled store
RESERVE_S, RESERVE = 0.003, 0.1  # of a deadline, in seconds and as a share, for what the server does itself
LEAST_S = 0.001


@dataclass(frozen=True)
class Budget:
    """Seconds. Both stores are read at the same time, the model is asked afterwards."""

    redis_s: float
    dynamodb_s: float
    triton_s: float

    @classmethod
    def of(cls, settings: Settings) -> Budget:
        """That of a usual request without a deadline."""
        stages = settings.redis_budget_ms, settings.dynamodb_budget_ms, settings.triton_budget_ms
        return cls(*(ms / 1000 for ms in stages))

    def for_call(self, candidates: int, remaining_s: float | None = None) -> Budget:
        """That of one call.

        Args:
            remaining_s: until the caller's deadline, None without one.
        """
        factor = max(1.0, candidates / USUAL_CANDIDATES)
        if remaining_s is not None:
            whole = max(self.redis_s, self.dynamodb_s) + self.triton_s
            factor = min(factor, (remaining_s * (1 - RESERVE) - RESERVE_S) / whole)
        if factor == 1.0:
            return self
        return Budget(*(max(s * factor, LEAST_S) for s in (self.redis_s, self.dynamodb_s, self.triton_s)))
