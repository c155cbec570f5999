"""How many events were refused, by whom they were sent and for which reason."""

from __future__ import annotations

from collections import Counter

NO_VALUE = "value"  # a field without one; the other reasons are the rules of adfeast.contract.event_rules
SIZE = "size"  # an event that is too large as a whole
OTHERS = "others"
CALLERS = 1_000


class Refusals:
    """Counts since the start of the process; only one thread, that of the event loop, counts.

    The callers that are told apart are bounded: whoever comes after the first thousand counts as `others`.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._callers: set[str] = set()

    def count(self, caller: str, reason: str) -> None:
        """One event of a caller was refused, and its call with it."""
        if len(self._callers) < CALLERS:
            self._callers.add(caller)
        self._counts[caller if caller in self._callers else OTHERS, reason] += 1

    def read(self) -> dict[tuple[str, str], int]:
        """(caller, reason) to the number of refused events."""
        return dict(self._counts)

    @property
    def total(self) -> int:
        """Refused events of all callers."""
        return self._counts.total()


def caller_of(peer: str) -> str:
    """The host in gRPC's name of a peer (`ipv4:10.0.0.7:50123`), whose port is another for every connection."""
    family, _, rest = peer.partition(":")
    if family == "ipv4":
        return rest.rpartition(":")[0]
    if family == "ipv6":
        return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")
    return peer
