"""Consistent hashing: each user has a server of their own, and a server that comes or goes moves only its share.

A server keeps the recent scores of its users, which are of use only to whoever comes back to it. Every process that
knows the same addresses sends a user to the same one (Karger et al., 1997).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from hashlib import blake2b

POINTS = 128  # of a server; shares then differ by some 10 %


class HashRing:
    """The servers, each at `POINTS` places of a circle.

    Raises:
        ValueError: no address, or one twice.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        if not addresses or len(set(addresses)) != len(addresses):
            raise ValueError(f"addresses are {list(addresses)}; give at least one, and each once")
        self._addresses = tuple(addresses)
        points = sorted((_hash(f"{address}#{i}"), address) for address in addresses for i in range(POINTS))
        self._hashes, self._owners = [h for h, _ in points], [address for _, address in points]

    def order(self, key: str) -> Iterator[str]:
        """Every address once, that of the key first."""
        start, seen = bisect(self._hashes, _hash(key)), set[str]()
        for i in range(len(self._owners)):
            owner = self._owners[(start + i) % len(self._owners)]
            if owner not in seen:
                seen.add(owner)
                yield owner
                if len(seen) == len(self._addresses):
                    return


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
