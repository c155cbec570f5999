"""Reads the features of one request from both tiers at once, into columns.

`Tiers` are the connections, which live as long as the process; a `FeatureReader` serves one plan and goes with it.
No tier is waited for longer than the request's budget, and none that is away is waited for at all: what was not read is
unread, which is not missing. Ads come out of the table in shared memory where there is one, and out of the stores where
it does not vouch for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from adfeast.clock import Clock
from adfeast.contract.signature import AD, REQUEST, USER
from adfeast.settings import Settings
from serving.ads.served import NOTHING, CurrentTable, PlanTable, Taken
from serving.budget import Budget
from serving.clients.breaker import Breaker
from serving.clients.waiting import forget, within
from serving.errors import StoreUnavailable
from serving.features.ad_rows import RowCache, rows_within
from serving.features.columns import Features, Rows, assemble, decode_dynamodb, decode_redis
from serving.features.dynamodb import DynamoDBTier, Items
from serving.features.freshness import Watermarks
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from serving.features.plan import DYNAMODB, REDIS, Block, Plan
from serving.features.redis import RedisTier
from serving.features.redis_cluster import RedisClusterTier
from serving.features.shared_reads import SharedReads, decode_in_turns
from serving.features.values import Memo, ValueDecoder

WARM_ADS = 500  # a call
T = TypeVar("T")
Parts = list[tuple[str, Block, Rows]]


class Tiers:
    """Connections to both tiers, what decodes their values, and how far the stream views are that stand there; and the
    table of ads.

    Belongs to the event loop it is made in.

    Attributes:
        breakers: tier to the breaker that says whether it is asked.
    """

    def __init__(
        self,
        redis: RedisTier | RedisClusterTier | MemoryRedis,
        dynamodb: DynamoDBTier | MemoryDynamoDB,
        settings: Settings,
        breakers: dict[str, Breaker] | None = None,
    ) -> None:
        self.redis, self.dynamodb, self.decoder = redis, SharedReads(dynamodb), ValueDecoder()
        self.watermarks = Watermarks(redis, settings.project, settings.replay_speed)
        self.breakers = breakers or {tier: Breaker(tier) for tier in (REDIS, DYNAMODB)}
        self.ads = CurrentTable(settings.ad_table, settings.project, settings.replay_speed)

    def close(self) -> None:
        """Closes the connections."""
        self.redis.close()
        self.dynamodb.close()


class FeatureReader:
    """Serves one compiled contract."""

    def __init__(self, plan: Plan, tiers: Tiers, settings: Settings, clock: Clock) -> None:
        self._plan, self._tiers, self._clock, self._budget = plan, tiers, clock, Budget.of(settings)
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
        self._table: PlanTable | None = None

    @property
    def known_ads(self) -> list[str]:
        """Ads whose rows are kept in memory."""
        return self._cache.keys() if self._cache else []

    async def warm(self, ad_ids: Sequence[str]) -> None:
        """Reads the rows of ads into memory, off the request path.

        Raises:
            StoreUnavailable: the tier did not answer.
        """
        if self._cache is None:
            return
        for start in range(0, len(ad_ids), WARM_ADS):
            some = ad_ids[start : start + WARM_ADS]
            _, missing = self._cache.take(some, self._clock.now_ms())
            await self._load([some[i] for i in missing], [])

    async def read(
        self, user_id: str, ad_ids: Sequence[str], request: Rows, at_ms: int, budget: Budget | None = None
    ) -> Features:
        """The contract's values for B candidates, as far as they could be read in time.

        Args:
            ad_ids: the B candidates, each once.
            request: one row of the plan's request block.
            at_ms: time of the request, milliseconds since 1970; maximum ages and freshness count from it.
            budget: how long to wait; by default that of a usual request.
        """
        # By the watermarks that are known before the values are read: they may be newer, and never older than that.
        stale = self._tiers.watermarks.stale(self._plan.stream_views, at_ms, self._clock.now_ms())
        table = self._from_table(ad_ids, at_ms)
        lacking = [ad_ids[i] for i in table.lacking]
        asked = {tier: lacking if tier in table.rows else ad_ids for tier in (REDIS, DYNAMODB)}
        budget, loop = budget or self._budget.for_call(len(ad_ids)), asyncio.get_running_loop()
        commands = [
            self._commands[s][key]
            for s, keys in ((USER, [user_id]), (AD, asked[REDIS]))
            if s in self._commands
            for key in keys
        ]
        away: list[str] = []
        until, waiting = loop.time() + budget.redis_s, None
        if commands and self._tiers.breakers[REDIS].allows():
            waiting = self._tiers.redis.send(commands)
        try:
            parts = await self._read_dynamodb(user_id, asked[DYNAMODB], budget.dynamodb_s, away)
        except BaseException:
            if waiting is not None:
                waiting.add_done_callback(forget)
            raise
        if commands:
            values = None
            if waiting is not None:
                left = max(until - loop.time(), 0.0)
                values = await self._heard(REDIS, self._tiers.redis.receive(waiting, left))
            parts += self._decode_redis(values, len(asked[REDIS]), away)
        parts = table.among(self._plan, parts, stale)
        parts.append((REQUEST, self._plan.request, request))
        now, everywhere = self._clock.now_ms(), table.stale_everywhere(self._plan, stale)
        found = assemble(self._plan, parts, len(ad_ids), at_ms, now, everywhere, tuple(away))
        return replace(found, stale_views=stale) if table.lacking and everywhere != stale else found

    def _from_table(self, ad_ids: Sequence[str], at_ms: int) -> Taken:
        current = self._tiers.ads.table
        if current is None:
            self._table = None
            return NOTHING
        if self._table is None or self._table.table is not current:
            self._table = PlanTable(self._plan, current, self._tiers.ads.speed)
        return self._table.take(ad_ids, at_ms, self._clock.now_ms(), followed=self._tiers.ads.followed)

    def _decode_redis(self, values: list[bytes | None] | None, n: int, away: list[str]) -> Parts:
        parts, at = [], 0
        if values is None:
            away.append(REDIS)
        for source, rows in ((USER, 1), (AD, n)):
            block = self._plan.block(source, REDIS)
            if block is None:
                continue
            if values is None:
                parts.append((source, block, Rows.not_read(block, rows)))
                continue
            size = rows * len(block.fields)
            parts.append((source, block, decode_redis(block, values[at : at + size], rows, self._tiers.decoder)))
            at += size
        return parts

    async def _read_dynamodb(self, user_id: str, ad_ids: Sequence[str], seconds: float, away: list[str]) -> Parts:
        user, cache, parts = self._plan.block(USER, DYNAMODB), self._cache, Parts()
        wanted: list[tuple[str, str]] = []
        missing: list[int] = []
        if user is not None:
            user_entity = user.entity_id(user_id)
            wanted = [(table, user_entity) for table in user.tables]
        if self._ad_block is not None and cache is not None:
            ads, missing = cache.take(ad_ids, self._clock.now_ms())
            parts.append((AD, self._ad_block, ads))
        if not wanted and not missing:
            return parts
        lacking = [ad_ids[i] for i in missing]
        found = None
        if self._tiers.breakers[DYNAMODB].allows():
            # What comes late is kept all the same, for the next request.
            load = asyncio.ensure_future(self._load(lacking, wanted))
            found = await self._heard(DYNAMODB, within(load, seconds))
        if found is None:
            away.append(DYNAMODB)
        if missing and cache is not None:
            ads.copy_from(missing, cache.take_old(lacking) if found is None else found[0], slice(None))
        if user is not None:
            own = Rows.not_read(user, 1)
            if found is not None:
                own = decode_dynamodb(user, found[1], [user_entity], self._tiers.decoder)
            parts.append((USER, user, own))
        return parts

    async def _load(self, ad_ids: Sequence[str], besides: list[tuple[str, str]]) -> tuple[Any, Items]:
        """Reads and keeps the rows of ads; the items of what is asked for besides."""
        block, now = self._ad_block, self._clock.now_ms()
        keys = [block.entity_id(ad) for ad in ad_ids] if block else []
        tables = block.tables if block else ()
        items = await self._tiers.dynamodb.get([*besides, *((t, key) for t in tables for key in keys)])
        if block is None or self._cache is None or not keys:
            return None, items
        fresh = await decode_in_turns(block, items, keys, self._tiers.decoder)
        self._cache.put(ad_ids, fresh, now)
        return fresh, items

    async def _heard(self, tier: str, answer: Coroutine[Any, Any, T]) -> T | None:
        """The answer of a tier, or None; its breaker learns which."""
        breaker = self._tiers.breakers[tier]
        try:
            found = await answer
        except (StoreUnavailable, TimeoutError) as error:
            breaker.failed(str(error) or "timeout")
            return None
        breaker.succeeded()
        return found
