"""The Redis tier of a cluster: a request's entities from their masters, each in one pipelined round trip, all at once.

It follows MOVED: a node that does not have a slot any more says so, and the slots are asked for again. While one is on
its way (ASK), what is not where it was is asked for where it goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from adfeast.access import RedisAccess
from adfeast.redis_slots import ASK_SLOTS, ASKING, Address, NoSlots, SlotMap, asked_of, slot_of
from serving.clients.waiting import forget, within
from serving.errors import Moved, OnItsWay, StoreUnavailable
from serving.features.redis import RedisTier

ATTEMPTS = 3
# A map is not asked for more often because a node is away: its replica takes over after seconds.
LEAST_AGE_S = 0.5


class RedisClusterTier:
    """`RedisTier` over the masters of a cluster.

    Args:
        seed: a node, or the address behind which all are.
        connect: makes the tier of a node.
    """

    def __init__(self, seed: Address, connect: Callable[[str, int], RedisTier], timeout_s: float = 2.0) -> None:
        self._seed, self._connect, self._timeout_s = seed, connect, timeout_s
        self._nodes: dict[Address, RedisTier] = {}
        self._slots: SlotMap | None = None
        self._asked_s = 0.0
        self._asking: asyncio.Task[SlotMap] | None = None

    def send(self, commands: Sequence[bytes]) -> asyncio.Future[list[bytes | None]]:
        """See `RedisTier.send`."""
        return asyncio.ensure_future(self._read(commands))

    async def receive(
        self, answers: asyncio.Future[list[bytes | None]], within_s: float | None = None
    ) -> list[bytes | None]:
        """See `RedisTier.receive`."""
        try:
            return await within(answers, self._timeout_s if within_s is None else within_s)
        except TimeoutError as error:
            for node in self._nodes.values():
                node.give_up_if_silent()
            raise StoreUnavailable(f"Redis Cluster at {self._seed[0]}:{self._seed[1]}: {error}") from error

    async def _read(self, commands: Sequence[bytes]) -> list[bytes | None]:
        for _ in range(ATTEMPTS):
            slots = self._slots or await self._ask_slots()
            try:
                return await self._read_from(slots, commands)
            except Moved:
                self._forget(slots)
            except StoreUnavailable:
                if asyncio.get_running_loop().time() - self._asked_s >= LEAST_AGE_S:
                    self._forget(slots)  # another may be master of these slots by now
                raise
        raise StoreUnavailable(f"Redis Cluster at {self._seed[0]}:{self._seed[1]} moves slots faster than is followed")

    async def _read_from(self, slots: SlotMap, commands: Sequence[bytes]) -> list[bytes | None]:
        # Commands with a known number of values go together; another has a call of its own.
        calls: dict[tuple[int, int], list[int]] = {}
        for i, command in enumerate(commands):
            slot, values = _shape(command)
            calls.setdefault((slots.owner[slot], -1 if values else i), []).append(i)
        asked = [
            asyncio.ensure_future(self._read_node(self._node(slots.masters[p]), [commands[i] for i in own]))
            for (p, _), own in calls.items()
        ]
        try:
            answers = await asyncio.gather(*asked)
        except BaseException:
            for one in asked:
                one.add_done_callback(forget)
            raise
        if len(answers) == 1:
            return answers[0]
        found: list[list[bytes | None]] = [[] for _ in commands]
        for own, answer in zip(calls.values(), answers, strict=True):
            at = 0
            for i in own:
                width = _shape(commands[i])[1] or len(answer)
                found[i] = answer[at : at + width]
                at += width
        return [value for values in found for value in values]

    async def _read_node(self, node: RedisTier, commands: Sequence[bytes]) -> list[bytes | None]:
        try:
            return await node.send(commands)
        except OnItsWay:
            found = await asyncio.gather(*(self._read_one(node, command) for command in commands))
        return [value for values in found for value in values]

    async def _read_one(self, node: RedisTier, command: bytes) -> list[bytes | None]:
        try:
            return await node.send([command])
        except OnItsWay as error:
            return await self._node(asked_of(error.answer)).send([ASKING, command])

    async def _ask_slots(self) -> SlotMap:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._learn_slots())
        return await asyncio.shield(self._asking)  # one question for all that wait

    async def _learn_slots(self) -> SlotMap:
        last: Exception | None = None
        for address in dict.fromkeys((*self._nodes, self._seed)):
            node = self._node(address)
            try:
                answer: Any = await node.receive(node.send([ASK_SLOTS]))
                self._slots = SlotMap.read(answer, address)
            except (StoreUnavailable, NoSlots) as error:
                last = error
                continue
            self._asked_s = asyncio.get_running_loop().time()
            for gone in self._nodes.keys() - {*self._slots.masters, self._seed}:
                self._nodes.pop(gone).close()
            return self._slots
        raise StoreUnavailable(f"no node of the Redis Cluster says who has which slot: {last}") from last

    def _forget(self, slots: SlotMap) -> None:
        if self._slots is slots:
            self._slots = None

    def _node(self, address: Address) -> RedisTier:
        if address not in self._nodes:
            self._nodes[address] = self._connect(*address)
        return self._nodes[address]

    def close(self) -> None:
        """Closes the connections."""
        if self._asking is not None:
            self._asking.cancel()
        for node in self._nodes.values():
            node.close()


def redis_tier(access: RedisAccess) -> RedisTier | RedisClusterTier:
    """The tier of a deployment, not connected yet."""

    def connect(host: str, port: int) -> RedisTier:
        return RedisTier(host, port, login=access.login(), tls=access.tls_context())

    if access.cluster:
        return RedisClusterTier((access.host, access.port), connect)
    return connect(access.host, access.port)


@lru_cache(maxsize=1 << 16)
def _shape(command: bytes) -> tuple[int, int]:
    """Slot of the key of a prebuilt command, and how many values it is answered with; 0: that depends."""
    words, _, name, size, rest = command.split(b"\r\n", 4)
    return slot_of(rest[: int(size[1:])]), int(words[1:]) - 2 if name == b"HMGET" else 0
