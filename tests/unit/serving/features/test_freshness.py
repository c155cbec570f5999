"""A view is judged by its own watermark; one that is not known, or stands still, makes its values stale."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from adfeast.contract.definitions import View
from adfeast.contract.event_rules import AHEAD_MS
from adfeast.feast_ext.online_layout import redis_watermarks_key
from serving.errors import StoreUnavailable
from serving.features.freshness import Watermarks
from serving.features.memory import MemoryRedis
from serving.features.plan import Plan
from tests.contract.watermarks import watermark_fields
from tests.unit.serving.conftest import FRESH_WITHIN_S

KEY = redis_watermarks_key("p")
NOW = 1_600_000_000_000
LIMIT = 1000 * FRESH_WITHIN_S


def looked(redis: MemoryRedis, speed: float = 1.0) -> Watermarks:
    watermarks = Watermarks(redis, "p", speed)
    asyncio.run(watermarks.look())
    return watermarks


@pytest.fixture
def views(plan: Plan) -> Sequence[View]:
    assert [v.name for v in plan.stream_views] == ["u_fast", "a_fast"]
    return plan.stream_views


def test_one_millisecond_decides_and_each_view_by_itself(views: Sequence[View]) -> None:
    known = looked(MemoryRedis({KEY: watermark_fields(["u_fast"], NOW) | watermark_fields(["a_fast"], NOW + 1)}))
    later = NOW + LIMIT
    assert known.stale(views, later, later) == ()
    assert known.stale(views, later + 1, later + 1) == ("u_fast",)
    assert known.stale(views, later + 2, later + 2) == ("u_fast", "a_fast")
    longer = [replace(v, fresh_within_s=2 * FRESH_WITHIN_S) for v in views]
    assert known.stale(longer, later + 2, later + 2) == ()


def test_a_view_nobody_has_spoken_of_is_stale(views: Sequence[View]) -> None:
    assert looked(MemoryRedis()).stale(views, NOW, NOW) == ("u_fast", "a_fast")
    other = MemoryRedis({redis_watermarks_key("another project"): watermark_fields(["u_fast", "a_fast"], NOW)})
    assert looked(other).stale(views, NOW, NOW) == ("u_fast", "a_fast")
    assert looked(MemoryRedis({KEY: watermark_fields(["u_fast"], NOW)})).stale(views, NOW, NOW) == ("a_fast",)


def test_what_is_known_ages_while_redis_does_not_answer_and_is_forgotten_when_it_forgot(views: Sequence[View]) -> None:
    redis = MemoryRedis({KEY: watermark_fields(["u_fast", "a_fast"], NOW)})
    known = looked(redis)
    redis.down = True
    with pytest.raises(StoreUnavailable):
        asyncio.run(known.look())
    assert known.stale(views, NOW + LIMIT, NOW + LIMIT) == ()
    assert len(known.stale(views, NOW + LIMIT + 1, NOW + LIMIT + 1)) == 2
    redis.down = False
    redis.hashes.clear()  # it lost what it held: nothing that stands there now is known to be fresh
    asyncio.run(known.look())
    assert len(known.stale(views, NOW, NOW)) == 2


def test_a_promise_stretches_with_a_replay(views: Sequence[View]) -> None:
    known = looked(MemoryRedis({KEY: watermark_fields(["u_fast", "a_fast"], NOW)}), speed=3600)
    at = NOW + 3600 * LIMIT
    assert known.stale(views, at, at) == ()
    assert len(known.stale(views, at + 1, at + 1)) == 2


def test_a_caller_whose_clock_is_fast_makes_nothing_stale(views: Sequence[View]) -> None:
    known = looked(MemoryRedis({KEY: watermark_fields(["u_fast", "a_fast"], NOW)}))
    assert known.stale(views, NOW + 10 * LIMIT, NOW) == ()


def test_a_watermark_from_the_future_is_none(views: Sequence[View]) -> None:
    """Nothing behind it would ever be stale."""
    known = looked(MemoryRedis({KEY: watermark_fields(["u_fast", "a_fast"], NOW + AHEAD_MS + 1)}))
    assert len(known.stale(views, NOW, NOW)) == 2
    assert known.stale(views, NOW, NOW + 1) == ()
