"""Whole rows of ads as the stores hold them now, through what requests are read with."""

from __future__ import annotations

from collections.abc import Sequence

from adfeast.contract.signature import AD
from serving.features.columns import Rows, decode_redis
from serving.features.plan import DYNAMODB, REDIS, Plan
from serving.features.reader import Tiers
from serving.features.shared_reads import decode_in_turns

AT_ONCE = 500  # ads, of one question to Redis


async def read_ads(plan: Plan, tiers: Tiers, ads: Sequence[str], only: str = "") -> dict[str, Rows]:
    """The rows of ads, by tier.

    Args:
        plan: made by `plan_of_ads`.
        only: the one tier that is asked; by default both.

    Raises:
        StoreUnavailable: one of them does not answer.
    """
    found: dict[str, Rows] = {}
    block = plan.block(AD, REDIS)
    if block is not None and only in ("", REDIS):
        rows = found[REDIS] = Rows(block, len(ads))
        for start in range(0, len(ads), AT_ONCE):
            some = ads[start : start + AT_ONCE]
            sent = tiers.redis.send([block.redis_command(ad) for ad in some])
            decoded = decode_redis(block, await tiers.redis.receive(sent), len(some), tiers.decoder)
            rows.copy_from(slice(start, start + len(some)), decoded, slice(None))
    block = plan.block(AD, DYNAMODB)
    if block is not None and only in ("", DYNAMODB):
        keys = [block.entity_id(ad) for ad in ads]
        items = await tiers.dynamodb.get([(table, key) for table in block.tables for key in keys])
        found[DYNAMODB] = await decode_in_turns(block, items, keys, tiers.decoder)
    return found
