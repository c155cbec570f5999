"""Which servers are worth asking, judged by what they answered; and how much more a fleet in trouble may be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from adfeast_client.policy import Policy


@dataclass
class _State:
    failures: int = 0
    ejections: int = 0
    until_s: float = 0.0


class Health:
    """Ejects servers for a while that fail again and again.

    Args:
        now: seconds of a clock that only goes forward.
    """

    def __init__(self, addresses: Iterable[str], policy: Policy, now: Callable[[], float]) -> None:
        self._states = {address: _State() for address in addresses}
        self._policy, self._now = policy, now

    def order(self, addresses: Iterable[str]) -> list[str]:
        """The addresses, those that are ejected last; unchanged where half of them are, for then it is not they."""
        given, now = list(addresses), self._now()
        out = [a for a in given if self._states[a].until_s > now]
        if 2 * len(out) >= len(given):
            return given
        return [a for a in given if a not in out] + out

    def answered(self, address: str) -> None:
        """The server works."""
        self._states[address] = _State()

    def failed(self, address: str) -> None:
        """A call was not answered; one that failed after its time out fails once more and is out again, for longer."""
        state, policy = self._states[address], self._policy
        state.failures += 1
        if state.failures >= policy.eject_after and state.until_s <= self._now():
            state.until_s = self._now() + min(policy.eject_s * 2**state.ejections, policy.eject_most_s)
            state.ejections += 1


class Tokens:
    """Bounds retries and hedges, as gRPC's retry throttling does."""

    def __init__(self, most: float) -> None:
        self._most = self._left = most

    def take(self) -> bool:
        """Whether one more may be sent."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def answered(self) -> None:
        """Gives a tenth of one back."""
        self._left = min(self._most, self._left + 0.1)
