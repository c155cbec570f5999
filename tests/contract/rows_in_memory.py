"""The online stores as `adfeast forget` sees them, over tiers in memory."""

from __future__ import annotations

from adfeast.feast_ext.online_layout import dynamodb_id, dynamodb_table, redis_key
from serving.features.memory import MemoryDynamoDB, MemoryRedis


class HashesInMemory:
    """`infra.privacy.stores.RedisRows` over hashes in memory."""

    def __init__(self, tier: MemoryRedis, project: str) -> None:
        self.tier, self._project = tier, project

    def count(self, join_key: str, value: str) -> dict[str, int]:
        return {"redis": 1} if redis_key(join_key, value, self._project) in self.tier.hashes else {}

    def delete(self, join_key: str, value: str) -> dict[str, int]:
        found = self.count(join_key, value)
        self.tier.hashes.pop(redis_key(join_key, value, self._project), None)
        return found


class TablesInMemory:
    """`infra.privacy.stores.DynamoDBRows` over tables in memory."""

    def __init__(self, tier: MemoryDynamoDB, project: str) -> None:
        self.tier, self._start = tier, dynamodb_table(project, "")

    def count(self, join_key: str, value: str) -> dict[str, int]:
        key, tables = dynamodb_id(join_key, value), self.tier.tables
        return {f"dynamodb {t}": 1 for t in sorted(tables) if t.startswith(self._start) and key in tables[t]}

    def delete(self, join_key: str, value: str) -> dict[str, int]:
        found = self.count(join_key, value)
        for place in found:
            del self.tier.tables[place.removeprefix("dynamodb ")][dynamodb_id(join_key, value)]
        return found
