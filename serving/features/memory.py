"""Both tiers in the memory of one process, for tests that need no server: the same calls, the same layouts.

They hold what Feast's stores hold, byte for byte, so everything above them runs as it is; one contract suite
(tests/contract/test_tiers.py) runs over these and over the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import hiredis

from serving.clients.waiting import within
from serving.errors import StoreUnavailable
from serving.features.dynamodb import Items

PATIENCE_S = 2.0


class MemoryRedis:
    """Hashes by key; `RedisTier`'s reads.

    Attributes:
        hashes: key to field to value.
        down: every call fails, as if the server were away.
        stalled: no call is ever answered, as if the server stood still.
    """

    def __init__(self, hashes: Mapping[bytes, Mapping[bytes, bytes]] | None = None) -> None:
        self.hashes: dict[bytes, dict[bytes, bytes]] = {k: dict(v) for k, v in (hashes or {}).items()}
        self.down = self.stalled = False

    def send(self, commands: Sequence[bytes]) -> asyncio.Future[list[bytes | None]]:
        """See `RedisTier.send`."""
        answer: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        if self.stalled:
            return answer
        if self.down:
            answer.set_exception(StoreUnavailable("the Redis tier in memory is down"))
            return answer
        reader = hiredis.Reader()
        reader.feed(b"".join(commands))
        values: list[bytes | None] = []
        for _ in commands:
            name, key, *fields = reader.gets()
            stored = self.hashes.get(key, {})
            if name == b"HGETALL":
                values += [part for pair in stored.items() for part in pair]
            else:
                values += [stored.get(field) for field in fields]
        answer.set_result(values)
        return answer

    async def receive(
        self, answers: asyncio.Future[list[bytes | None]], within_s: float | None = None
    ) -> list[bytes | None]:
        """See `RedisTier.receive`."""
        try:
            return await within(answers, PATIENCE_S if within_s is None else within_s)
        except TimeoutError as error:
            raise StoreUnavailable(f"the Redis tier in memory: {error}") from error

    def close(self) -> None:
        """Nothing to close."""


class MemoryDynamoDB:
    """Tables by name; `DynamoDBTier`'s reads. A table that is not there has no rows.

    Attributes:
        tables: table to entity id to item as JSON.
        down: every call fails, as if the service were away.
        stalled: no call is ever answered, as if it stood still.
    """

    def __init__(self, tables: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.tables: Items = {t: dict(rows) for t, rows in (tables or {}).items()}
        self.down = self.stalled = False

    async def get(self, wanted: Sequence[tuple[str, str]]) -> Items:
        """See `DynamoDBTier.get`."""
        if self.stalled:
            await asyncio.get_running_loop().create_future()
        if self.down:
            raise StoreUnavailable("the DynamoDB tier in memory is down")
        found: Items = {}
        for table, entity_id in wanted:
            item = self.tables.get(table, {}).get(entity_id)
            if item is not None:
                found.setdefault(table, {})[entity_id] = item
        return found

    def close(self) -> None:
        """Nothing to close."""
