"""Feast's Redis store with the two things it lacks: it refuses rows from the future, and keys live as long as rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import _redis_key
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.clock import Clock, SystemClock
from adfeast.feast_ext.future import refuse_future
from adfeast.feast_ext.online_layout import redis_life


class RedisTierOnlineStore(RedisOnlineStore):  # type: ignore[misc]
    """See the module."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__()
        self._clock = clock or SystemClock()

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Writes as Feast does.

        Raises:
            FutureRow: a row lies after the clock; none of the batch is written.
        """
        refuse_future(table.name, data, self._clock)
        super().online_write_batch(config, table, data, progress)
        if table.ttl:
            self._keep(config, [key for key, *_ in data], int(table.ttl.total_seconds()))

    def _keep(self, config: RepoConfig, entities: list[EntityKey], keep_s: int) -> None:
        """Lets hashes live as long as the rows just written; other views of the entity may let them live longer."""
        version = config.entity_key_serialization_version
        keys = [_redis_key(config.project, entity, version) for entity in entities]
        least, life = redis_life(keep_s)
        pipeline = self._get_client(config.online_store).pipeline(transaction=False)
        for key in keys:
            pipeline.ttl(key)
        for key, left in zip(keys, pipeline.execute(), strict=True):
            if left < least:
                pipeline.expire(key, life)
        pipeline.execute()
