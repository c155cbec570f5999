"""Slots of a Redis Cluster that move from master to master while the writer writes and the reader reads."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import redis
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.access import RedisAccess
from adfeast.feast_ext.online_layout import redis_field, redis_key
from adfeast.redis_slots import slot_of
from adfeast.settings import Settings
from serving.features.redis_cluster import redis_tier
from streaming.redis_writer.cluster import RedisClusterStore, open_store
from tests.cluster.servers import said
from tests.contract.redis_cluster import Cluster
from tests.integration.test_redis_cluster import KEYS, MS, PROJECT, VIEW, made

MOVED = 12
PATIENCE_S = 30.0  # of a machine that has other things to do; who never gets an answer waits longer
FIELD = redis_field(VIEW.name, VIEW.features[0].name)
NAMES = [redis_key(VIEW.join_key, key, PROJECT) for key in KEYS]
READ = [b"*3\r\n$5\r\nHMGET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(n), n, len(FIELD), FIELD) for n in NAMES]


def number(value: bytes | None) -> float:
    assert value is not None, "a row was not found"
    parsed = Value.FromString(value)
    return float(getattr(parsed, parsed.WhichOneof("val")))


class Traffic:
    """A writer that counts up in every row, and a reader that never sees one go back.

    Attributes:
        stop: ends both.
        round: which every row has reached; `reads` how often all were read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.stop = threading.Event()
        self.round = self.reads = 0

    def write(self) -> None:
        store = open_store(self._settings)
        assert isinstance(store, RedisClusterStore)
        store.connect()
        while not self.stop.is_set():
            rows = made(KEYS, MS + self.round + 1, self.round + 1)
            try:
                older, refused = store.write([rows])
            except redis.ConnectionError:  # MOVED: whoever connects again learns who has the slot
                store.connect()
                continue
            assert (older, refused) == (0, []), "a row of this round was newer, or refused"
            self.round += 1
        store.close()

    def read(self) -> None:
        async def run() -> None:
            tier = redis_tier(RedisAccess.of(self._settings))
            while not self.stop.is_set():
                reached = self.round
                found = await tier.receive(tier.send(READ), PATIENCE_S)
                if reached:
                    assert min(number(value) for value in found) >= reached, "a row is older than what was written"
                self.reads += 1
            tier.close()

        asyncio.run(run())


def test_rows_are_written_and_found_while_their_slots_move(redis_cluster: Cluster) -> None:
    host, port = redis_cluster.addresses[0]
    traffic = Traffic(Settings(project=PROJECT, redis_host=host, redis_port=port, redis_cluster=True))
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(traffic.write), pool.submit(traffic.read)]
        try:
            for name in NAMES[:MOVED]:
                before, until = (traffic.round, traffic.reads), time.monotonic() + 60
                redis_cluster.move(slot_of(name))
                while traffic.round < before[0] + 2 or traffic.reads < before[1] + 2:
                    for each in running:
                        if each.done():
                            each.result()
                    assert time.monotonic() < until, "the traffic stands still"
                    time.sleep(0.01)
        finally:
            traffic.stop.set()
        for each in running:
            each.result(30)
    said(f"{MOVED} slots moved below {traffic.round} rounds of {len(KEYS)} rows and {traffic.reads} reads of all")
