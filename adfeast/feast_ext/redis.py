"""Feast's Redis store with the one thing it lacks: it refuses rows from the future."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.clock import Clock, SystemClock
from adfeast.feast_ext.future import refuse_future


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
