"""Writer and reader on a Redis Cluster: rows of all slots, and slots that move from one master to another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
import redis
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.access import RedisAccess
from adfeast.contract.rows import Layout
from adfeast.feast_ext.online_layout import redis_field, redis_key, redis_time_field, redis_watermarks_key
from adfeast.redis_slots import slot_of
from adfeast.settings import Settings
from serving.features.redis_cluster import redis_tier
from streaming.redis_writer.cluster import RedisClusterStore, open_store
from streaming.redis_writer.layout import Progress, RowLayout, Rows
from streaming.redis_writer.store import Safety
from tests.contract.redis_cluster import Cluster
from tests.unit.streaming.jobs.test_sql import definitions

VIEW = definitions().views["shop_bids"]
LAYOUT = Layout.of(VIEW)
MS = 1_574_500_000_000
KEYS = [f"shop {n}" for n in range(300)]
PROJECT = "clustered"


@pytest.fixture(scope="module")
def settings(redis_cluster: Cluster) -> Settings:
    host, port = redis_cluster.addresses[0]
    return Settings(project=PROJECT, redis_host=host, redis_port=port, redis_cluster=True)


@pytest.fixture
def store(settings: Settings) -> Iterator[RedisClusterStore]:
    opened = open_store(settings)
    assert isinstance(opened, RedisClusterStore)
    opened.connect()
    yield opened
    opened.close()


def made(keys: Sequence[str], ms: int, value: int) -> Rows:
    rows = RowLayout(LAYOUT, VIEW, PROJECT, 60, Progress())
    table = rows.table([LAYOUT.encode(ms, [value for _ in VIEW.features]) for _ in keys])
    return rows.rows(table, [key.encode() for key in keys])


def read(settings: Settings, keys: Sequence[str], moves: Sequence[object] = ()) -> list[float | None]:
    """The first feature of each key, as the reader's tier gives it; before the second of two reads things move."""
    field = redis_field(VIEW.name, VIEW.features[0].name)
    names = [redis_key(VIEW.join_key, key, PROJECT) for key in keys]
    commands = [b"*3\r\n$5\r\nHMGET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(n), n, len(field), field) for n in names]

    async def run() -> list[bytes | None]:
        tier = redis_tier(RedisAccess.of(settings))
        try:
            found = await tier.receive(tier.send(commands))
            for move in moves:
                assert callable(move)
                move()
                found = await tier.receive(tier.send(commands))
            return found
        finally:
            tier.close()

    values = [None if value is None else Value.FromString(value) for value in asyncio.run(run())]
    return [None if value is None else getattr(value, value.WhichOneof("val")) for value in values]


def test_rows_of_all_slots_are_written_in_pipelines_and_read_as_feast_keeps_them(
    store: RedisClusterStore, settings: Settings, redis_cluster: Cluster
) -> None:
    assert store.write([made(KEYS, MS, 7)]) == (0, [])
    assert store.write([made(KEYS[:100], MS - 1, 5)]) == (100, []), "an older row replaced a newer one"
    assert read(settings, [*KEYS, "nobody"]) == [*[7] * len(KEYS), None]
    held = [node.dbsize() for node in redis_cluster.nodes]
    assert min(held) > 50, "a master has next to nothing"
    assert sum(held) >= len(KEYS)
    entity = EntityKey(join_keys=[VIEW.join_key], entity_values=[Value(string_val=KEYS[0])])
    with RedisAccess.of(settings).client() as client:
        stored = client.hgetall(_redis_key(PROJECT, entity, 3))
    assert stored.keys() == {redis_time_field(VIEW.name), *(redis_field(VIEW.name, f.name) for f in VIEW.features)}


def test_every_master_says_whether_what_was_written_is_safe(store: RedisClusterStore, settings: Settings) -> None:
    store.write([made(KEYS, MS, 8)])
    store.advance({b"v:0": MS}, {b"v": 1})
    store.ask()
    assert store.told(wait=True) is Safety.SAFE
    with RedisAccess.of(settings).client() as client:
        assert client.hgetall(redis_watermarks_key(PROJECT)) == {b"v:0": b"%d" % MS, b"v": b"1"}


def test_reader_and_writer_follow_a_slot_that_moves(
    store: RedisClusterStore, settings: Settings, redis_cluster: Cluster
) -> None:
    moved = slot_of(redis_key(VIEW.join_key, KEYS[3], PROJECT))
    store.write([made(KEYS, MS + 1, 9)])
    assert read(settings, KEYS, [lambda: redis_cluster.move(moved)]) == [9] * len(KEYS)
    with pytest.raises(redis.ConnectionError, match=f"MOVED {moved}"):
        store.write([made(KEYS, MS + 2, 10)])
    store.connect()  # as the writer does then
    assert store.write([made(KEYS, MS + 2, 10)])[1] == []
    assert read(settings, KEYS) == [10] * len(KEYS)


def test_rows_of_a_slot_that_is_on_its_way_are_read_and_written(
    store: RedisClusterStore, settings: Settings, redis_cluster: Cluster
) -> None:
    store.write([made(KEYS, MS + 3, 11)])
    leaving = redis_cluster.send_off(slot_of(redis_key(VIEW.join_key, KEYS[5], PROJECT)))
    try:
        assert read(settings, KEYS) == [11] * len(KEYS)
        assert store.write([made(KEYS, MS + 4, 12)]) == (0, [])
        assert store.write([made(KEYS[5:6], MS + 2, 10)]) == (1, [])
        assert read(settings, KEYS) == [12] * len(KEYS)
    finally:
        redis_cluster.arrive(*leaving)
    assert read(settings, KEYS) == [12] * len(KEYS)
