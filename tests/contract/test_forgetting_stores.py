"""One contract for the stores that a user is deleted from: those in memory answer what the real ones answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from adfeast.feast_ext.online_layout import dynamodb_id, redis_key
from adfeast.settings import Settings
from infra.privacy.stores import DynamoDBRows, RedisRows, Store
from infra.stored import Tables
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from tests.contract.rows_in_memory import HashesInMemory, TablesInMemory

PROJECT = "forgetting"
TABLES = (f"{PROJECT}.profile", f"{PROJECT}.gone_view")  # the second is of a view that nobody defines any more
USERS = ("leaves", "stays")
Both = tuple[Store, Store]


@pytest.fixture(params=["memory", "real"])
def stores(request: pytest.FixtureRequest) -> Both:
    hashes = {redis_key("user_id", user, PROJECT): {b"f": b"1"} for user in USERS}
    hashes[redis_key("user_id", "leaves", "another")] = {b"f": b"1"}
    ids = [dynamodb_id("user_id", user) for user in USERS]
    if request.param == "memory":
        tables = {table: {i: {"entity_id": {"S": i}} for i in ids} for table in TABLES}
        return HashesInMemory(MemoryRedis(hashes), PROJECT), TablesInMemory(MemoryDynamoDB(tables), PROJECT)
    settings: Settings = request.getfixturevalue("settings").model_copy(update={"project": PROJECT})
    client, tables_of = redis.Redis(settings.redis_host, settings.redis_port), Tables(settings)
    for key, mapping in hashes.items():
        client.hset(key, mapping=mapping)
    for table in TABLES:
        if table.removeprefix(f"{PROJECT}.") not in tables_of.views():
            tables_of.client.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "entity_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "entity_id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        for i in ids:
            tables_of.client.put_item(TableName=table, Item={"entity_id": {"S": i}})
    return RedisRows(settings), DynamoDBRows(settings)


@pytest.mark.parametrize("call", ["count", "delete"])
def test_a_user_is_found_in_every_place_of_the_project(stores: Both, call: str) -> None:
    asked: list[Callable[[str, str], Any]] = [getattr(store, call) for store in stores]
    assert [ask("user_id", "leaves") for ask in asked] == [{"redis": 1}, {f"dynamodb {t}": 1 for t in sorted(TABLES)}]
    assert [ask("user_id", "nobody") for ask in asked] == [{}, {}]
    assert [ask("ad_id", "leaves") for ask in asked] == [{}, {}]


def test_who_is_deleted_is_gone_and_nobody_else(stores: Both) -> None:
    for store in stores:
        store.delete("user_id", "leaves")
        assert store.delete("user_id", "leaves") == store.count("user_id", "leaves") == {}
        assert store.count("user_id", "stays")
