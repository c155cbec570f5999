"""Reads of more than the service answers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from adfeast.settings import Settings
from serving.features.dynamodb import DynamoDBTier, Items

ROWS = 60
ROW_BYTES = 350_000  # 60 of them are more than the 16 MB of one BatchGetItem, so some come back as UnprocessedKeys


@pytest.fixture(scope="module")
def table(settings: Settings) -> Iterator[str]:
    client: Any = boto3.client(
        "dynamodb",
        endpoint_url=settings.dynamodb_endpoint,
        region_name=settings.aws_region,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key,
    )
    name = "serving.large-rows"
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "entity_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "entity_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for i in range(ROWS):
        client.put_item(TableName=name, Item={"entity_id": {"S": f"row {i}"}, "filling": {"S": "x" * ROW_BYTES}})
    yield name
    client.delete_table(TableName=name)


def get(settings: Settings, wanted: list[tuple[str, str]]) -> Items:
    async def run() -> Items:
        tier = DynamoDBTier(settings)
        try:
            return await tier.get(wanted)
        finally:
            tier.close()

    return asyncio.run(run())


def test_unprocessed_keys_are_asked_for_again(settings: Settings, table: str) -> None:
    keys = [f"row {i}" for i in range(ROWS)]
    items = get(settings, [(table, key) for key in [*keys, "nowhere"]])
    assert sorted(items[table]) == sorted(keys)


def test_a_missing_table_has_no_rows_and_costs_the_others_none(
    settings: Settings, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    items = get(settings, [("serving.nowhere", "row"), (table, "row 1")])
    assert list(items[table]) == ["row 1"]
    assert not items.get("serving.nowhere")
    assert "DynamoDB has no table 'serving.nowhere'" in caplog.text
