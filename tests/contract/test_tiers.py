"""One contract for the tiers: those that tests hold in memory answer what the real ones answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import redis

from adfeast.access import RedisAccess
from adfeast.feast_ext.online_layout import dynamodb_id, redis_field, redis_key, redis_time_field
from adfeast.settings import Settings
from serving.features.dynamodb import DynamoDBTier
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from serving.features.redis import RedisTier
from serving.features.redis_cluster import RedisClusterTier, redis_tier

Both = tuple[RedisTier | RedisClusterTier | MemoryRedis, DynamoDBTier | MemoryDynamoDB]
KEY = redis_key("user_id", "tier-user", "tiers")
HASH = {redis_field("v", "f"): b"\x20\x03", redis_time_field("v"): b"\x08\x01"}
TABLE, ID = "tiers.contract", dynamodb_id("user_id", "tier-user")
ITEM = {"entity_id": {"S": ID}, "event_ts": {"S": "2019-11-28 00:00:00+00:00"}, "values": {"M": {"f": {"B": "IAM="}}}}


@pytest.fixture(params=["real", "cluster", "memory"])
def make(request: pytest.FixtureRequest) -> Callable[[], Both]:
    if request.param == "memory":
        return lambda: (MemoryRedis({KEY: HASH}), MemoryDynamoDB({TABLE: {ID: ITEM}}))
    if request.param == "cluster":
        access = RedisAccess(*request.getfixturevalue("redis_cluster").addresses[0], cluster=True)
        access.client().hset(KEY, mapping=HASH)
        return lambda: (redis_tier(access), MemoryDynamoDB({TABLE: {ID: ITEM}}))
    settings: Settings = request.getfixturevalue("settings")
    redis.Redis(settings.redis_host, settings.redis_port).hset(KEY, mapping=HASH)
    client: Any = boto3.client(
        "dynamodb",
        endpoint_url=settings.dynamodb_endpoint,
        region_name=settings.aws_region,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key,
    )
    if TABLE not in client.list_tables()["TableNames"]:
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "entity_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "entity_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    client.put_item(TableName=TABLE, Item=ITEM | {"values": {"M": {"f": {"B": b"\x20\x03"}}}})
    return lambda: (RedisTier(settings.redis_host, settings.redis_port), DynamoDBTier(settings))


def command(key: bytes, fields: list[bytes]) -> bytes:
    parts = [b"HMGET", key, *fields]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def test_hashes_answer_in_order_and_what_is_missing_is_none(make: Callable[[], Both]) -> None:
    async def ask() -> list[bytes | None]:
        tier, _ = make()
        fields = [*HASH, b"nothing"]
        commands = [command(KEY, fields), command(b"nobody", fields)]
        try:
            return await tier.receive(tier.send(commands))
        finally:
            tier.close()

    assert asyncio.run(ask()) == [*HASH.values(), None, None, None, None]


def test_a_whole_hash_is_read_field_and_value_in_turn(make: Callable[[], Both]) -> None:
    async def ask() -> list[bytes | None]:
        tier, _ = make()
        commands = [b"*2\r\n$7\r\nHGETALL\r\n$%d\r\n%s\r\n" % (len(k), k) for k in (KEY, b"nobody")]
        try:
            return await tier.receive(tier.send(commands))
        finally:
            tier.close()

    found = iter(asyncio.run(ask()))
    assert dict(zip(found, found, strict=True)) == HASH


def test_items_come_by_table_and_id_and_a_missing_table_has_none(make: Callable[[], Both]) -> None:
    async def ask() -> dict[str, dict[str, Any]]:
        _, tier = make()
        try:
            return await tier.get([(TABLE, ID), (TABLE, "nobody"), ("tiers.nowhere", ID)])
        finally:
            tier.close()

    assert asyncio.run(ask()) == {TABLE: {ID: ITEM}}
