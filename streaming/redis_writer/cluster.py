"""What the writer does with a Redis Cluster: the same as with one server, on each of the masters.

A script may touch the keys of one slot only, so a row is a call of its own here; what is pipelined to a master is
answered together. A slot that has moved (MOVED) ends the connection, as a dead server does: the writer connects again,
learns who has which slot, and writes again from what is safe. While one is on its way (ASK), a key that is not where it
was is written where it goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import redis

from adfeast.access import RedisAccess
from adfeast.feast_ext.online_layout import redis_watermarks_key
from adfeast.redis_slots import ASK_SLOTS, Address, NoSlots, SlotMap, asked_of
from adfeast.settings import Settings
from streaming.redis_writer.connection import Connection
from streaming.redis_writer.layout import Rows
from streaming.redis_writer.store import RedisStore, Safety

CALLS = 512  # of one row each; see store.CALLS
# Of several answers the one that counts for all of them.
WORST = (Safety.UNSAFE, Safety.UNKNOWN, Safety.SAFE)


class RedisClusterStore:
    """`RedisStore` over the masters of a cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._access = settings, RedisAccess.of(settings)
        self._watermarks = redis_watermarks_key(settings.project)
        self._slots: SlotMap | None = None
        self._nodes: list[RedisStore] = []
        self._told: dict[int, Safety] = {}

    def connect(self) -> None:
        """See `RedisStore.connect`."""
        self.close()
        slots = self._learn_slots()
        probes = slots.key_of_each(f"adfeast:written:{self._settings.project}".encode())
        for (host, port), probe in zip(slots.masters, probes, strict=True):
            access = replace(self._access, host=host, port=port)
            self._nodes.append(RedisStore(self._settings, access, probe, together=1, calls=CALLS))
            self._nodes[-1].connect()
        self._slots = slots

    def close(self) -> None:
        """Closes what is open; the addresses of the nodes are kept to ask them."""
        for node in self._nodes:
            node.close()
        self._nodes, self._told = [], {}

    def _learn_slots(self) -> SlotMap:
        known: tuple[Address, ...] = self._slots.masters if self._slots else ()
        last: Exception | None = None
        for host, port in dict.fromkeys(((self._access.host, self._access.port), *known)):
            try:
                connection = Connection(replace(self._access, host=host, port=port))
            except redis.ConnectionError as error:
                last = error
                continue
            try:
                connection.send(ASK_SLOTS)
                return SlotMap.read(connection.answer(), (host, port))
            except (redis.ConnectionError, NoSlots) as error:
                last = error
            finally:
                connection.close()
        raise redis.ConnectionError(f"no node of the Redis Cluster says who has which slot: {last}") from last

    def _open(self) -> SlotMap:
        if self._slots is None or not self._nodes:
            raise redis.ConnectionError("not connected")
        return self._slots

    def write(self, rows: Sequence[Rows]) -> tuple[int, list[tuple[Rows, int, str]]]:
        """See `RedisStore.write`."""
        slots, older, bad = self._open(), 0, []
        for whole in rows:
            places: dict[int, list[int]] = {}
            for i, name in enumerate(whole.keys):
                places.setdefault(slots.place(_plain(name)), []).append(i)
            for place, own in places.items():
                part = replace(
                    whole,
                    keys=[whole.keys[i] for i in own],
                    arguments=[whole.arguments[i] for i in own],
                    sources=[whole.sources[i] for i in own],
                )
                late, refused = self._nodes[place].write([part])
                older += late
                for _, i, why in refused:
                    said = self._write_arriving(slots, whole, own[i], why) if why.startswith("ASK ") else why
                    if isinstance(said, str):
                        bad.append((whole, own[i], said))
                    else:
                        older += said
        return older, bad

    def _write_arriving(self, slots: SlotMap, rows: Rows, place: int, answer: str) -> int | str:
        address = asked_of(answer)
        if address not in slots.masters:
            raise redis.ConnectionError(answer)  # a master that had no slot: connecting again finds it
        return self._nodes[slots.masters.index(address)].write_arriving(rows, place)

    def advance(self, watermarks: Mapping[bytes, int], counts: Mapping[bytes, int]) -> None:
        """See `RedisStore.advance`; every row that they follow was acknowledged before."""
        self._nodes[self._open().place(self._watermarks)].advance(watermarks, counts)

    def ask(self) -> None:
        """See `RedisStore.ask`."""
        self._open()
        self._told = {}
        for node in self._nodes:
            node.ask()

    def told(self, *, wait: bool = False) -> Safety:
        """See `RedisStore.told`: what the masters say together."""
        self._open()
        for place, node in enumerate(self._nodes):
            if place not in self._told and (said := node.told(wait=wait)) is not Safety.ASKED:
                self._told[place] = said
        if len(self._told) < len(self._nodes):
            return Safety.ASKED
        return next(worst for worst in WORST if worst in self._told.values())


def open_store(settings: Settings) -> RedisStore | RedisClusterStore:
    """What the settings name."""
    return RedisClusterStore(settings) if settings.redis_cluster else RedisStore(settings)


def _plain(name: bytes) -> bytes:
    """A key that stands in RESP."""
    return name[name.index(b"\n") + 1 : -2]
