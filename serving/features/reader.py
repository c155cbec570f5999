"""Reads the features of one request from both tiers at once, into columns.

`Tiers` are the connections, which live as long as the process; a `FeatureReader` serves one plan and goes with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adfeast.clock import Clock
from adfeast.contract.signature import AD, REQUEST, USER
from adfeast.settings import Settings
from serving.features.ad_rows import RowCache, rows_within
from serving.features.columns import Features, Rows, assemble, decode_dynamodb, decode_redis
from serving.features.dynamodb import DynamoDBTier
from serving.features.freshness import Watermarks
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from serving.features.plan import DYNAMODB, REDIS, Block, Plan
from serving.features.redis import RedisTier
from serving.features.shared_reads import SharedReads, decode_in_turns
from serving.features.values import Memo, ValueDecoder

WARM_ADS = 500  # a call


class Tiers:
    """Connections to both tiers, what decodes their values, and how far the stream views are that stand there.

    Belongs to the event loop it is made in.
    """

    def __init__(
        self, redis: RedisTier | MemoryRedis, dynamodb: DynamoDBTier | MemoryDynamoDB, settings: Settings
    ) -> None:
        self.redis, self.dynamodb, self.decoder = redis, SharedReads(dynamodb), ValueDecoder()
        self.watermarks = Watermarks(redis, settings.project, settings.replay_speed)

    def close(self) -> None:
        """Closes the connections."""
        self.redis.close()
        self.dynamodb.close()


class FeatureReader:
    """Serves one compiled contract."""

    def __init__(self, plan: Plan, tiers: Tiers, settings: Settings, clock: Clock) -> None:
        self._plan, self._tiers, self._clock = plan, tiers, clock
        self._commands = {
            source: Memo(block.redis_command, settings.ad_cache_rows)
            for (source, tier), block in plan.blocks.items()
            if tier == REDIS
        }
        self._ad_block = plan.block(AD, DYNAMODB)
        self._cache = (
            RowCache(
                self._ad_block,
                min(settings.ad_cache_rows, rows_within(self._ad_block, settings.ad_cache_mb << 20)),
                round(settings.ad_cache_ttl_s * 1000),
            )
            if self._ad_block
            else None
        )

    @property
    def known_ads(self) -> list[str]:
        """Ads whose rows are kept in memory."""
        return self._cache.keys() if self._cache else []

    async def warm(self, ad_ids: Sequence[str]) -> None:
        """Reads the rows of ads into memory, off the request path.

        Raises:
            StoreUnavailable: the tier did not answer.
        """
        if self._cache is None or self._ad_block is None:
            return
        for start in range(0, len(ad_ids), WARM_ADS):
            await self._ads(self._ad_block, self._cache, ad_ids[start : start + WARM_ADS], [])

    async def read(self, user_id: str, ad_ids: Sequence[str], request: Rows, at_ms: int) -> Features:
        """The contract's values for B candidates.

        Args:
            ad_ids: the B candidates, each once.
            request: one row of the plan's request block.
            at_ms: time of the request, milliseconds since 1970; maximum ages and freshness count from it.

        Raises:
            StoreUnavailable: a tier did not answer.
        """
        # By the watermarks that are known before the values are read: they may be newer, and never older than that.
        stale = self._tiers.watermarks.stale(self._plan.stream_views, at_ms, self._clock.now_ms())
        commands = [
            self._commands[s][key]
            for s, keys in ((USER, [user_id]), (AD, ad_ids))
            if s in self._commands
            for key in keys
        ]
        waiting = await self._tiers.redis.send(b"".join(commands), len(commands)) if commands else None
        try:
            parts = await self._read_dynamodb(user_id, ad_ids)
        except BaseException:
            if waiting is not None:
                waiting.add_done_callback(_forget)
            raise
        if waiting is not None:
            parts += self._decode_redis(await self._tiers.redis.receive(waiting), len(ad_ids))
        parts.append((REQUEST, self._plan.request, request))
        return assemble(self._plan, parts, len(ad_ids), at_ms, self._clock.now_ms(), stale)

    def _decode_redis(self, values: list[bytes | None], n: int) -> list[tuple[str, Block, Rows]]:
        parts, at = [], 0
        for source, rows in ((USER, 1), (AD, n)):
            block = self._plan.block(source, REDIS)
            if block is not None:
                size = rows * len(block.fields)
                parts.append((source, block, decode_redis(block, values[at : at + size], rows, self._tiers.decoder)))
                at += size
        return parts

    async def _read_dynamodb(self, user_id: str, ad_ids: Sequence[str]) -> list[tuple[str, Block, Rows]]:
        user = self._plan.block(USER, DYNAMODB)
        parts: list[tuple[str, Block, Rows]] = []
        wanted: list[tuple[str, str]] = []
        if user is not None:
            user_entity = user.entity_id(user_id)
            wanted += [(table, user_entity) for table in user.tables]
        if self._ad_block is not None and self._cache is not None:
            ads, items = await self._ads(self._ad_block, self._cache, ad_ids, wanted)
            parts.append((AD, self._ad_block, ads))
        else:
            items = await self._tiers.dynamodb.get(wanted)
        if user is not None:
            parts.append((USER, user, decode_dynamodb(user, items, [user_entity], self._tiers.decoder)))
        return parts

    async def _ads(
        self, block: Block, cache: RowCache, ad_ids: Sequence[str], besides: list[tuple[str, str]]
    ) -> tuple[Rows, dict[str, dict[str, object]]]:
        """Rows of ads, from memory where it has them; and the items of what is asked for besides."""
        now = self._clock.now_ms()
        ads, missing = cache.take(ad_ids, now)
        keys = [block.entity_id(ad_ids[i]) for i in missing]
        items = await self._tiers.dynamodb.get([*besides, *((t, key) for t in block.tables for key in keys)])
        if missing:
            fresh = await decode_in_turns(block, items, keys, self._tiers.decoder)
            ads.copy_from(missing, fresh, slice(None))
            cache.put([ad_ids[i] for i in missing], fresh, now)
        return ads, items


def _forget(answers: asyncio.Future[list[bytes | None]]) -> None:
    """Nobody waits any more: a failure is not worth a warning that it was never looked at."""
    if not answers.cancelled():
        answers.exception()
