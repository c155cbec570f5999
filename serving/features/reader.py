"""Reads the features of one request from both tiers at once, into columns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adfeast.clock import Clock
from adfeast.contract.signature import AD, REQUEST, USER
from adfeast.settings import Settings
from serving.features.ad_rows import RowCache
from serving.features.columns import Features, Rows, assemble, decode_dynamodb, decode_redis
from serving.features.dynamodb import DynamoDBTier
from serving.features.plan import DYNAMODB, REDIS, Block, Plan
from serving.features.redis import RedisTier
from serving.features.values import Memo, ValueDecoder


class FeatureReader:
    """Serves one compiled feature service. Belongs to the event loop it is made in."""

    def __init__(self, plan: Plan, settings: Settings, clock: Clock) -> None:
        self._plan, self._clock = plan, clock
        self._decoder = ValueDecoder()
        self._redis = RedisTier(settings.redis_host, settings.redis_port)
        self._dynamodb = DynamoDBTier(settings)
        self._commands = {
            source: Memo(block.redis_command, settings.ad_cache_rows)
            for (source, tier), block in plan.blocks.items()
            if tier == REDIS
        }
        self._ad_block = plan.block(AD, DYNAMODB)
        self._cache = (
            RowCache(self._ad_block, settings.ad_cache_rows, round(settings.ad_cache_ttl_s * 1000))
            if self._ad_block
            else None
        )

    async def read(self, user_id: str, ad_ids: Sequence[str], request: Rows, at_ms: int) -> Features:
        """The model's inputs for B candidates.

        Args:
            ad_ids: the B candidates, each once.
            request: one row of the plan's request block.
            at_ms: time of the request, milliseconds since 1970; maximum ages count from it.

        Raises:
            StoreUnavailable: a tier did not answer.
        """
        commands = [
            self._commands[s][key]
            for s, keys in ((USER, [user_id]), (AD, ad_ids))
            if s in self._commands
            for key in keys
        ]
        waiting = await self._redis.send(b"".join(commands), len(commands)) if commands else None
        try:
            parts = await self._read_dynamodb(user_id, ad_ids)
        except BaseException:
            if waiting is not None:
                waiting.add_done_callback(_forget)
            raise
        if waiting is not None:
            parts += self._decode_redis(await self._redis.receive(waiting), len(ad_ids))
        parts.append((REQUEST, self._plan.request, request))
        return assemble(self._plan, parts, len(ad_ids), at_ms)

    def _decode_redis(self, values: list[bytes | None], n: int) -> list[tuple[str, Block, Rows]]:
        parts, at = [], 0
        for source, rows in ((USER, 1), (AD, n)):
            block = self._plan.block(source, REDIS)
            if block is not None:
                size = rows * len(block.fields)
                parts.append((source, block, decode_redis(block, values[at : at + size], rows, self._decoder)))
                at += size
        return parts

    async def _read_dynamodb(self, user_id: str, ad_ids: Sequence[str]) -> list[tuple[str, Block, Rows]]:
        user, ad, cache, now = self._plan.block(USER, DYNAMODB), self._ad_block, self._cache, self._clock.now_ms()
        parts: list[tuple[str, Block, Rows]] = []
        wanted: list[tuple[str, str]] = []
        if user is not None:
            user_entity = user.entity_id(user_id)
            wanted += [(table, user_entity) for table in user.tables]
        if ad is not None and cache is not None:
            ads, missing = cache.take(ad_ids, now)
            missing_keys = [ad.entity_id(ad_ids[i]) for i in missing]
            wanted += [(table, key) for table in ad.tables for key in missing_keys]
        items = await self._dynamodb.get(wanted)
        if user is not None:
            parts.append((USER, user, decode_dynamodb(user, items, [user_entity], self._decoder)))
        if ad is not None and cache is not None:
            if missing:
                fresh = decode_dynamodb(ad, items, missing_keys, self._decoder)
                ads.copy_from(missing, fresh, slice(None))
                cache.put([ad_ids[i] for i in missing], fresh, now)
            parts.append((AD, ad, ads))
        return parts

    async def keep_fresh(self) -> None:
        """Runs until cancelled: renews credentials off the request path."""
        await self._dynamodb.credentials.keep_fresh()

    def close(self) -> None:
        """Closes the connections."""
        self._redis.close()
        self._dynamodb.close()


def _forget(answers: asyncio.Future[list[bytes | None]]) -> None:
    """Nobody waits any more: a failure is not worth a warning that it was never looked at."""
    if not answers.cancelled():
        answers.exception()
