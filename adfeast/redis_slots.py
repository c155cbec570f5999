"""Which node of a Redis Cluster holds a key: the hash slots, and who has which."""

from __future__ import annotations

import binascii
from array import array
from dataclasses import dataclass
from typing import Any

SLOTS = 16_384
# Before a command that is sent where an answer ASK says: the slot is on its way there.
ASKING = b"*1\r\n$6\r\nASKING\r\n"
ASK_SLOTS = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"
_NOBODY = 0xFFFF
Address = tuple[str, int]


class NoSlots(ValueError):
    """A node does not say who has which slot, or somebody has none."""


def slot_of(key: bytes) -> int:
    """The slot of a key: of what stands in its first braces, if there is something, else of all of it."""
    start = key.find(b"{") + 1
    end = key.find(b"}", start) if start else 0
    return binascii.crc_hqx(key[start:end] if end > start else key, 0) % SLOTS


def asked_of(answer: str) -> Address:
    """The node that an answer `ASK <slot> <host>:<port>` names."""
    host, _, port = answer.split()[2].rpartition(":")
    return host, int(port)


@dataclass(frozen=True)
class SlotMap:
    """The masters, and for each slot the place of its master among them."""

    masters: tuple[Address, ...]
    owner: array[int]

    @classmethod
    def read(cls, answer: Any, asked: Address) -> SlotMap:
        """What a node answers to `ASK_SLOTS`.

        Args:
            asked: the node's address, which is meant where it names none of its own.

        Raises:
            NoSlots: it is an error, or no node has some slot.
        """
        masters: dict[Address, int] = {}
        owner = array("H", [_NOBODY]) * SLOTS
        if not isinstance(answer, list):
            raise NoSlots(f"Redis at {asked[0]}:{asked[1]} is no node of a cluster: {answer}")
        for first, last, (host, port, *_), *_ in answer:
            place = masters.setdefault(((host or b"").decode() or asked[0], int(port)), len(masters))
            owner[first : last + 1] = array("H", [place]) * (last + 1 - first)
        if _NOBODY in owner:
            raise NoSlots(f"Redis Cluster at {asked[0]}:{asked[1]}: nobody has slot {owner.index(_NOBODY)}")
        return cls(tuple(masters), owner)

    def place(self, key: bytes) -> int:
        """Which of the masters holds a key."""
        return self.owner[slot_of(key)]

    def key_of_each(self, prefix: bytes) -> list[bytes]:
        """For each master a key that it holds."""
        found: dict[int, bytes] = {}
        n = 0
        while len(found) < len(self.masters):
            key = b"%b:%d" % (prefix, n)
            found.setdefault(self.place(key), key)
            n += 1
        return [found[place] for place in range(len(self.masters))]
