"""Feast's DynamoDB store with the six things it lacks: keys from settings, tables on servers without tags, rows that
never go back in time, none from the future, an end for rows that nobody renews, and answers without holes.

Feast writes rows unconditionally, so a backfill of an old day would overwrite today's values. Here a batch is
compared with the stored `event_ts` first and only rows that are not older are put: ten times the speed of conditional
puts, and right while a view has one writer at a time, which the run ledger sees to. Feast writes `event_ts` as text,
which orders correctly because it is always UTC.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config
from botocore.exceptions import ClientError
from feast import FeatureView, RepoConfig, utils
from feast.infra.online_stores.dynamodb import (
    DynamoDBOnlineStore,
    DynamoDBOnlineStoreConfig,
    _get_table_name,
    _to_client_write_item,
)
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.clock import Clock, SystemClock
from adfeast.feast_ext.errors import StoreThrottled
from adfeast.feast_ext.future import refuse_future
from adfeast.feast_ext.online_layout import DYNAMODB_EXPIRY, dynamodb_keep_s

THREADS = 4
PUT_BATCH = 25  # DynamoDB's limit
ATTEMPTS = 8
BACKOFF_S = 0.02


class DynamoDBTierOnlineStoreConfig(DynamoDBOnlineStoreConfig):  # type: ignore[misc]
    """Feast's settings and the keys; without keys boto3 looks for them in its usual places (on AWS: the role)."""

    access_key_id: str | None = None
    secret_access_key: str | None = None


class DynamoDBTierOnlineStore(DynamoDBOnlineStore):  # type: ignore[misc]
    """See the module."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__()
        self._clock = clock or SystemClock()
        self._dynamodb_client: Any = None
        self._dynamodb_resource: Any = None
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(THREADS, "dynamodb")
        self._config: DynamoDBTierOnlineStoreConfig | None = None

    def _session(self, config: DynamoDBTierOnlineStoreConfig) -> None:
        # boto3 sessions are not safe to use from two threads; clients are.
        with self._lock:
            if self._dynamodb_client is None:
                session = boto3.Session(
                    aws_access_key_id=config.access_key_id,
                    aws_secret_access_key=config.secret_access_key,
                    region_name=config.region,
                )
                options = Config(max_pool_connections=config.max_pool_connections, retries={"mode": "standard"})
                self._dynamodb_resource = session.resource("dynamodb", endpoint_url=config.endpoint_url, config=options)
                self._dynamodb_client = session.client("dynamodb", endpoint_url=config.endpoint_url, config=options)

    def _get_aioboto_session(self) -> Any:
        session = super()._get_aioboto_session()
        if self._config is not None and self._config.access_key_id:
            session.set_credentials(self._config.access_key_id, self._config.secret_access_key)
        return session

    def _use(self, config: RepoConfig) -> DynamoDBTierOnlineStoreConfig:
        self._config = config.online_store
        self._session(self._config)
        return self._config

    async def initialize(self, config: RepoConfig) -> None:
        """Opens the asynchronous client."""
        self._use(config)
        await super().initialize(config)

    def update(self, config: RepoConfig, *args: Any, **kwargs: Any) -> None:
        """Makes and drops tables."""
        self._use(config)
        super().update(config, *args, **kwargs)

    def teardown(self, config: RepoConfig, *args: Any, **kwargs: Any) -> None:
        """Drops tables."""
        self._use(config)
        super().teardown(config, *args, **kwargs)

    @staticmethod
    def _update_tags(dynamodb_client: Any, table_name: str, new_tags: list[dict[str, str]]) -> None:
        try:
            DynamoDBOnlineStore._update_tags(dynamodb_client, table_name, new_tags)
        except ClientError as error:
            if error.response["Error"]["Code"] != "UnknownOperationException":  # DynamoDB Local has no tags
                raise

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Puts the newest row of each key unless the stored one is newer.

        Raises:
            FutureRow: a row lies after the clock; none of the batch is written.
            StoreThrottled: still unprocessed after all attempts.
        """
        refuse_future(table.name, data, self._clock)
        own = self._use(config)
        name = _get_table_name(own, config, table)
        rows: dict[str, dict[str, Any]] = {}
        for key, values, moment, _ in data:
            item = _to_client_write_item(config, key, values, moment) | _end(table, moment)
            known = rows.get(item["entity_id"]["S"])
            if known is None or known["event_ts"]["S"] <= item["event_ts"]["S"]:
                rows[item["entity_id"]["S"]] = item
        stored = self._stored_times(own, name, list(rows))
        fresh = [item for i, item in rows.items() if stored.get(i, "") <= item["event_ts"]["S"]]
        for _ in self._pool.map(lambda batch: self._put(name, batch), _chunks(fresh, PUT_BATCH)):
            pass
        if progress:
            progress(len(data))

    def _stored_times(self, own: DynamoDBTierOnlineStoreConfig, name: str, ids: list[str]) -> dict[str, str]:
        def read(batch: list[str]) -> list[dict[str, Any]]:
            keys = [{"entity_id": {"S": i}} for i in batch]
            request = {name: {"Keys": keys, "ProjectionExpression": "entity_id, event_ts", "ConsistentRead": True}}
            return self._batch_get(request, name)

        found = self._pool.map(read, _chunks(ids, own.batch_size))
        return {item["entity_id"]["S"]: item["event_ts"]["S"] for items in found for item in items}

    def _put(self, name: str, items: list[dict[str, Any]]) -> None:
        request = {name: [{"PutRequest": {"Item": item}} for item in items]}
        for attempt in range(ATTEMPTS):
            request = self._dynamodb_client.batch_write_item(RequestItems=request).get("UnprocessedItems") or {}
            if not request:
                return
            time.sleep(BACKOFF_S * 2**attempt)
        raise StoreThrottled(
            f"DynamoDB left rows of table {name!r} unwritten {ATTEMPTS} times: raise its write capacity"
        )

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Reads only: Feast's asynchronous write has no condition."""
        return SupportedAsyncMethods(read=True, write=False)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Rows in the order of the keys; what a server leaves unprocessed is asked for again.

        Raises:
            StoreThrottled: still unprocessed after all attempts.
        """
        own = self._use(config)
        name = _get_table_name(own, config, table)
        ids = self._to_entity_ids(config, entity_keys)
        found: dict[str, dict[str, Any]] = {}
        deserialize = TypeDeserializer().deserialize
        for batch in _chunks(list(dict.fromkeys(ids)), own.batch_size):
            request = self._to_client_batch_get_payload(own, name, batch, requested_features)
            for item in self._batch_get(request, name):
                row = {k: deserialize(v) for k, v in item.items()}
                found[row["entity_id"]] = row
        rows: list[tuple[datetime | None, dict[str, Value] | None]] = []
        for entity_id in ids:
            if entity_id not in found:
                rows.append((None, None))
                continue
            row = found[entity_id]
            values = {k: Value.FromString(v.value) for k, v in row.get("values", {}).items()}
            rows.append((utils.make_tzaware(datetime.fromisoformat(row["event_ts"])), values))
        return rows

    def _batch_get(self, request: dict[str, Any], table: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for attempt in range(ATTEMPTS):
            answer = self._dynamodb_client.batch_get_item(RequestItems=request)
            items += answer["Responses"].get(table, [])
            request = answer.get("UnprocessedKeys") or {}
            if not request:
                return items
            time.sleep(BACKOFF_S * 2**attempt)
        raise StoreThrottled(f"DynamoDB left keys of table {table!r} unread {ATTEMPTS} times: raise its read capacity")


def _end(table: FeatureView, moment: datetime) -> dict[str, dict[str, str]]:
    """The attribute by which DynamoDB drops a row, where its table says so; none for rows that are served for ever."""
    if not table.ttl:
        return {}
    keep_s = dynamodb_keep_s(int(table.ttl.total_seconds()))
    return {DYNAMODB_EXPIRY: {"N": str(int(utils.make_tzaware(moment).timestamp()) + keep_s)}}


def _chunks(items: list[Any], size: int) -> list[list[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
