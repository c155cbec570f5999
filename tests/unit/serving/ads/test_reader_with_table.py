"""A reader with a table answers what it would answer from the stores, and asks them only for what the table lacks."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from adfeast.clock import ManualClock, to_datetime
from adfeast.contract.definitions import Definitions
from adfeast.contract.signature import AD
from adfeast.contract.tensors import Status
from adfeast.feast_ext.online_layout import (
    dynamodb_table,
    redis_field,
    redis_key,
    redis_time_field,
    redis_watermarks_key,
)
from adfeast.settings import Settings
from serving.ads.files import point, sign_file
from serving.ads.layout import TableLayout, plan_of_ads
from serving.ads.served import PlanTable
from serving.ads.stores import read_ads
from serving.ads.table import Table, Writing, WrittenTable
from serving.features.columns import Features, Rows
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from serving.features.plan import DYNAMODB, REDIS, Plan
from serving.features.reader import FeatureReader, Tiers
from tests.contract.watermarks import watermark_fields

NOW = 1_574_600_000_000
ADS = [f"ad {i}" for i in range(6)]


class Stores:
    """Both tiers in memory, a table filled out of them, and a reader with it."""

    def __init__(self, definitions: Definitions, plan: Plan, folder: Path) -> None:
        self.definitions, self.plan = definitions, plan
        self.settings = Settings(project=definitions.project, ad_table=folder)
        self.redis, self.dynamodb = MemoryRedis(), MemoryDynamoDB()
        for i, ad in enumerate(ADS):
            self.write(ad, i)
        self.redis.hashes[redis_watermarks_key(definitions.project)] = {}
        self.stand_at(NOW)
        self.clock = ManualClock(NOW)
        layout = TableLayout.of(plan_of_ads(definitions))
        self.table = WrittenTable.create(folder / f"{definitions.project}-t.ads", layout, 100)
        self.sign = sign_file(folder, definitions.project)

    def write(self, ad: str, value: int) -> None:
        at, block = Timestamp(), self.plan.blocks[AD, DYNAMODB]
        at.FromMilliseconds(NOW - value)
        self.redis.hashes[redis_key(block.views[0].join_key, ad, self.definitions.project)] = {
            redis_field("a_fast", "a_count"): Value(int64_val=value).SerializeToString(),
            redis_field("a_fast", "a_rate"): Value(double_val=value / 8).SerializeToString(),
            redis_time_field("a_fast"): at.SerializeToString(),
        }
        score = base64.b64encode(Value(float_val=value * 10).SerializeToString()).decode()
        self.dynamodb.tables.setdefault(dynamodb_table(self.definitions.project, "a_old"), {})[block.entity_id(ad)] = {
            "event_ts": {"S": to_datetime(NOW - value).isoformat()},
            "values": {"M": {"a_score": {"B": score}}},
        }

    def stand_at(self, ms: int) -> None:
        hashes = self.redis.hashes[redis_watermarks_key(self.definitions.project)]
        for view in self.definitions.views.values():
            if view.kind == "stream":
                hashes |= watermark_fields([view.name], ms)

    async def fill(self, ads: Sequence[str]) -> None:
        tiers = Tiers(self.redis, self.dynamodb, self.settings)
        self.table.put(ads, await read_ads(plan_of_ads(self.definitions), tiers, ads))
        self.table.marks[REDIS][:] = NOW
        self.table.checked(NOW)
        point(self.table.file.parent, self.definitions.project, self.table.file)
        self.sign.write_text("\n")

    async def read(self, ads: Sequence[str], with_table: bool = True, at_ms: int = NOW) -> Features:
        settings = self.settings if with_table else self.settings.model_copy(update={"ad_table": None})
        tiers = Tiers(self.redis, self.dynamodb, settings)
        await tiers.watermarks.look()
        assert await tiers.ads.look() == ""
        reader = FeatureReader(self.plan, tiers, settings, self.clock)
        return await reader.read("somebody", ads, Rows(self.plan.request, 1), at_ms)


@pytest.fixture
def stores(definitions: Definitions, plan: Plan, tmp_path: Path) -> Stores:
    return Stores(definitions, plan, tmp_path)


def same(one: Features, other: Features) -> None:
    for name in ("dense", "ids", "lists", "embeddings"):
        np.testing.assert_array_equal(getattr(one.tensors, name), getattr(other.tensors, name), name)
    for name in ("ad_status", "ad_times", "shared_status", "shared_times"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    assert (one.stale_views, one.away, one.unknown_ads) == (other.stale_views, other.away, other.unknown_ads)


def empty(stores: Stores) -> None:
    """The stores forget everything, so that what is answered is the table's."""
    stores.dynamodb.tables.clear()
    kept = redis_watermarks_key(stores.definitions.project)
    stores.redis.hashes = {kept: stores.redis.hashes[kept]}


def column(stores: Stores, features: Features, name: str) -> list[float]:
    names = [i.name for i in stores.plan.contract.role("dense")]
    return features.tensors.dense[:, names.index(name)].tolist()  # type: ignore[no-any-return]


def test_the_table_answers_what_the_stores_do(stores: Stores) -> None:
    async def run() -> None:
        wanted = [ADS[4], "nowhere", *ADS[:3]]
        of_stores = await stores.read(wanted, with_table=False)
        await stores.fill([*ADS, "nowhere"])
        same(await stores.read(wanted), of_stores)
        empty(stores)
        found = await stores.read(wanted)
        same(found, of_stores)
        assert column(stores, found, "a_count")[2:] == [0, 1, 2]
        assert column(stores, found, "a_score")[2:] == [0, 10, 20]
        assert found.unknown_ads == [1]

    asyncio.run(run())


def test_ads_that_the_table_lacks_come_from_the_stores(stores: Stores) -> None:
    async def run() -> None:
        of_stores = await stores.read(ADS, with_table=False)
        await stores.fill(ADS[::2])
        same(await stores.read(ADS), of_stores)
        with Writing(stores.table, stores.table.find(ADS[:1])):
            same(await stores.read(ADS), of_stores)
        empty(stores)
        assert (await stores.read(ADS)).unknown_ads == [1, 3, 5]

    asyncio.run(run())


def test_stores_that_are_away_take_nothing_from_ads_in_the_table(stores: Stores) -> None:
    async def run() -> None:
        await stores.fill(ADS[:4])
        stores.redis.down = stores.dynamodb.down = True
        tiers = Tiers(stores.redis, stores.dynamodb, stores.settings)
        tiers.watermarks._stored = stores.redis.hashes[redis_watermarks_key("project")]
        await tiers.ads.look()
        reader = FeatureReader(stores.plan, tiers, stores.settings, stores.clock)
        found = await reader.read("somebody", ADS, Rows(stores.plan.request, 1), NOW)
        assert set(found.away) == {REDIS, DYNAMODB}
        assert column(stores, found, "a_count")[:4] == [0, 1, 2, 3]
        assert not (found.ad_status[:4] == Status.UNREAD).any()
        assert (found.ad_status[4:] == Status.UNREAD).all()

    asyncio.run(run())


def test_a_table_that_is_behind_gives_way_to_redis(stores: Stores) -> None:
    async def run() -> None:
        await stores.fill(ADS)
        for i, ad in enumerate(ADS):
            stores.write(ad, i + 50)
        assert column(stores, await stores.read(ADS), "a_count") == [0, 1, 2, 3, 4, 5]
        stores.table.marks[REDIS][:] = NOW - 15_001
        assert column(stores, await stores.read(ADS), "a_count") == [50, 51, 52, 53, 54, 55]
        stores.stand_at(NOW - 15_001)
        found = await stores.read(ADS)
        assert found.stale_views == ("u_fast", "a_fast")
        assert (found.ad_status == Status.STALE).any()

    asyncio.run(run())


def test_a_table_that_nobody_follows_gives_way_to_redis_though_its_watermarks_are_young(stores: Stores) -> None:
    async def run() -> None:
        await stores.fill(ADS)
        for i, ad in enumerate(ADS):
            stores.write(ad, i + 50)
        assert column(stores, await stores.read(ADS), "a_count") == [0, 1, 2, 3, 4, 5]
        stores.sign.unlink()
        found = await stores.read(ADS)
        assert column(stores, found, "a_count") == [50, 51, 52, 53, 54, 55]
        assert column(stores, found, "a_score") == [0, 10, 20, 30, 40, 50]  # the batch side says itself how old it is

    asyncio.run(run())


def test_what_is_stale_in_redis_is_so_for_the_ads_that_were_read_there(stores: Stores) -> None:
    async def run() -> None:
        await stores.fill(ADS[:3])
        stores.stand_at(NOW - 15_001)
        found = await stores.read(ADS[:4])
        assert column(stores, found, "a_count")[:3] == [0, 1, 2]
        assert [bool((row == Status.STALE).any()) for row in found.ad_status] == [False, False, False, True]
        assert (found.shared_status == Status.STALE).any()
        assert found.stale_views == ("u_fast", "a_fast")
        assert (await stores.read(ADS[:3])).stale_views == ("u_fast",)

    asyncio.run(run())


def test_a_plan_with_a_feature_that_the_table_lacks_is_read_from_the_stores(
    stores: Stores, definitions: Definitions, plan: Plan, tmp_path: Path
) -> None:
    view = definitions.views["a_fast"]
    views = {**definitions.views, "a_fast": replace(view, features=view.features[:1])}
    smaller = plan_of_ads(replace(definitions, views=views))
    table = WrittenTable.create(tmp_path / "small.ads", TableLayout.of(smaller), 10)
    table.marks[REDIS][:] = NOW
    table.checked(NOW)
    assert set(PlanTable(plan, Table(table.file), 1.0).take(["a"], NOW, NOW).rows) == {DYNAMODB}
    assert set(PlanTable(smaller, Table(table.file), 1.0).take(["a"], NOW, NOW).rows) == {REDIS, DYNAMODB}
