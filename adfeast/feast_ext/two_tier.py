"""The online store of both tiers: a view's tag `tier` says whether its rows live in Redis or in DynamoDB.

Feast's own `hybrid` store crashes `feast apply` with two views and has no parallel read. Layouts are Feast's, so plain
Feast clients and the platform's reader see the same rows.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from feast import Entity, FeatureView, RepoConfig, utils
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.online_stores.redis import RedisOnlineStoreConfig
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field, StrictStr

from adfeast.access import RedisAccess
from adfeast.errors import SettingsError
from adfeast.feast_ext import guard, quiet
from adfeast.feast_ext.dynamodb import DynamoDBTierOnlineStore, DynamoDBTierOnlineStoreConfig
from adfeast.feast_ext.errors import TierError
from adfeast.feast_ext.redis import RedisTierOnlineStore
from adfeast.settings import Settings, load_settings

Rows = list[tuple[datetime | None, dict[str, Value] | None]]
Written = list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]
READ_THREADS = 8
# Feast imports this module for every command with our feature_store.yaml.
guard.install()
quiet.install()


def redis_config(settings: Settings) -> RedisOnlineStoreConfig:
    """Feast's Redis settings for a deployment.

    Raises:
        SettingsError: Feast's way of writing them has no place for this password.
    """
    access = RedisAccess.of(settings)
    parts = [str(access)]
    for name, value in access.redis_py().items():
        if name in ("host", "port") or value is None:
            continue
        if "," in str(value):
            raise SettingsError(f"redis_{name} has a comma, at which Feast cuts its connection string: choose another")
        parts.append(f"{name}={json.dumps(value)}")  # as JSON a password of digits stays text
    kind = "redis_cluster" if access.cluster else "redis"
    return RedisOnlineStoreConfig(redis_type=kind, connection_string=",".join(parts))


def dynamodb_config(settings: Settings) -> DynamoDBTierOnlineStoreConfig:
    """Feast's DynamoDB settings for a deployment."""
    return DynamoDBTierOnlineStoreConfig(
        region=settings.aws_region,
        endpoint_url=settings.dynamodb_endpoint,
        access_key_id=settings.aws_access_key_id,
        secret_access_key=settings.aws_secret_access_key,
    )


class TwoTierOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Addresses of both tiers; what feature_store.yaml leaves out comes from the platform's settings."""

    type: StrictStr = "adfeast.feast_ext.two_tier.TwoTierOnlineStore"
    redis: RedisOnlineStoreConfig = Field(default_factory=lambda: redis_config(load_settings()))
    dynamodb: DynamoDBTierOnlineStoreConfig = Field(default_factory=lambda: dynamodb_config(load_settings()))


class TwoTierOnlineStore(OnlineStore):  # type: ignore[misc]
    """Passes every call on to the store of the view's tier; reads of several views run at once."""

    def __init__(self) -> None:
        super().__init__()
        self._stores: dict[str, OnlineStore] = {"redis": RedisTierOnlineStore(), "dynamodb": DynamoDBTierOnlineStore()}
        self._pool = ThreadPoolExecutor(READ_THREADS, "feast-read")

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Both tiers read asynchronously; writes are those of the jobs, which run in threads."""
        return SupportedAsyncMethods(read=True, write=False)

    def tier(self, view: FeatureView) -> str:
        """Raises: TierError: the view's tag names no tier."""
        name = view.tags.get("tier", "")
        if name not in self._stores:
            raise TierError(
                f"view {view.name!r} has tier {name!r}; declare it with tier= one of {', '.join(self._stores)}"
            )
        return str(name)

    def _route(self, config: RepoConfig, view: FeatureView) -> tuple[OnlineStore, RepoConfig]:
        tier = self.tier(view)
        return self._stores[tier], self._config(config, tier)

    @staticmethod
    def _config(config: RepoConfig, tier: str) -> RepoConfig:
        # The stores below read their own settings from config.online_store.
        own = copy.copy(config)
        own._online_store = getattr(config.online_store, tier)
        return own

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Written, progress: Callable[[int], Any] | None
    ) -> None:
        """Writes rows of one view into its tier."""
        store, own = self._route(config, table)
        store.online_write_batch(own, table, data, progress)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> Rows:
        """Rows of one view, in the order of the keys."""
        store, own = self._route(config, table)
        return store.online_read(own, table, entity_keys, requested_features)  # type: ignore[no-any-return]

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> Rows:
        """Rows of one view, in the order of the keys."""
        store, own = self._route(config, table)
        return await store.online_read_async(own, table, entity_keys, requested_features)  # type: ignore[no-any-return]

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: list[Any],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: Any,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        # Only the reads run in parallel: the response is one protobuf, filled by this thread alone.
        pending = []
        for view, features in grouped_refs:
            values, positions, count = utils._get_unique_entities(view, join_key_values, entity_name_to_join_key_map)
            keys = utils._get_entity_key_protos(values)
            reading = self._pool.submit(self.online_read, config, view, keys, features)
            pending.append((view, features, positions, count, reading))
        for view, features, positions, count, reading in pending:
            utils._populate_response_from_feature_data(
                features,
                reading.result(),
                positions,
                online_features_response,
                full_feature_names,
                view,
                count,
                include_feature_view_version_metadata,
            )

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Makes the tables that are missing.

        Nothing is dropped: a view that is no longer defined may still be read, by servers that have not followed yet
        and by loaded models. `adfeast gc` takes away what nobody reads. (Feast would drop the DynamoDB table, and scan
        all of Redis.)
        """
        kept = {v.name: self.tier(v) for v in tables_to_keep}  # refuses a bad tier before anything is made
        for tier, store in self._stores.items():
            mine = [v for v in tables_to_keep if kept[v.name] == tier]
            store.update(self._config(config, tier), [], mine, [], entities_to_keep, partial)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Drops the rows of both tiers: only `feast teardown` does that."""
        for tier, store in self._stores.items():
            store.teardown(self._config(config, tier), [v for v in tables if v.tags.get("tier") == tier], entities)

    async def initialize(self, config: RepoConfig) -> None:
        """Opens the asynchronous clients."""
        for tier, store in self._stores.items():
            await store.initialize(self._config(config, tier))

    async def close(self) -> None:
        """Closes the asynchronous clients."""
        for store in self._stores.values():
            await store.close()
