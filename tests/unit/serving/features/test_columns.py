from __future__ import annotations

import asyncio
import random

import numpy as np

from adfeast.clock import ManualClock
from adfeast.contract.event_rules import AHEAD_MS
from adfeast.contract.ids import MISSING_ID
from adfeast.contract.signature import AD, REQUEST, USER
from adfeast.contract.tensors import Status
from adfeast.settings import Settings
from serving.features.ad_rows import RowCache, rows_within
from serving.features.columns import ROLES, Rows, assemble, settle
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from serving.features.plan import DYNAMODB, REDIS, Block, Plan
from serving.features.reader import FeatureReader, Tiers
from serving.features.values import Memo

NOW = 1_000_000


def stored(block: Block, n: int, fill: float, age_ms: int = 0) -> Rows:
    """n rows, all values `fill` plus the row's number."""
    rows = Rows(block, n)
    for role in ROLES:
        rows.arrays[role][:] = (fill + np.arange(n))[:, None]
    rows.absent[:] = False
    rows.times[:] = NOW - age_ms
    return rows


def test_shared_values_stand_in_every_row(plan: Plan) -> None:
    parts = [
        (source, block, stored(block, 1 if source == USER else 3, 5.0)) for (source, _), block in plan.blocks.items()
    ]
    features = assemble(plan, [*parts, (REQUEST, plan.request, stored(plan.request, 1, 9.0))], 3, NOW, NOW)
    names = [i.name for i in plan.contract.role("dense")]
    dense = dict(zip(names, features.tensors.dense.T.tolist(), strict=True))
    assert dense["u_count"] == [5, 5, 5]
    assert dense["bid"] == [9, 9, 9]
    assert dense["a_rate"] == dense["a_score"] == [5, 6, 7]
    assert features.tensors.embeddings.tolist() == [[5] * 4, [6] * 4, [7] * 4]
    assert (features.shared_status == Status.PRESENT).all()
    assert (features.ad_status == Status.PRESENT).all()
    assert not features.unknown_user
    assert features.unknown_ads == []


def test_too_old_and_absent_values_are_blank(plan: Plan) -> None:
    for block in plan.blocks.values():
        limit = int(block.max_age_ms.max())
        rows = stored(block, 2, 5.0, age_ms=limit + 1)
        rows.times[0] = NOW - block.max_age_ms  # row 0 is as old as allowed
        rows.absent[1, 0] = True
        status = settle(block, rows, NOW, NOW)
        assert (status[0] == Status.PRESENT).all()
        assert status[1, 0] == Status.NOT_FOUND
        assert (status[1, 1:] == Status.OUTSIDE_MAX_AGE).all()
        assert np.isnan(rows.arrays["dense"][1]).all()
        assert (rows.arrays["sparse"][1] == MISSING_ID).all()
        assert (rows.arrays["list"][1] == MISSING_ID).all()
        assert (rows.arrays["embedding"][1] == 0).all()
        assert all((rows.arrays[role][0] == 5).all() for role in ROLES)


def test_a_stale_view_is_blank_in_every_row_and_its_row_times_stay(plan: Plan) -> None:
    block = plan.blocks[AD, REDIS]
    [view] = block.views
    rows = stored(block, 3, 5.0)
    rows.absent[1, 0] = True
    rows.times[2] = 0
    times = rows.times.copy()
    assert (settle(block, rows, NOW, NOW, (view.name, "another view")) == Status.STALE).all()
    assert np.isnan(rows.arrays["dense"]).all()
    assert rows.times.tolist() == times.tolist()


def test_batch_views_beside_a_stale_one_are_served_as_they_are(plan: Plan) -> None:
    stale = tuple(v.name for v in plan.stream_views)
    parts = [
        (source, block, stored(block, 1 if source == USER else 2, 5.0)) for (source, _), block in plan.blocks.items()
    ]
    features = assemble(plan, [*parts, (REQUEST, plan.request, stored(plan.request, 1, 9.0))], 2, NOW, NOW, stale)
    statuses = dict(zip((i.name for i in plan.contract.inputs if i.source == AD), features.ad_status.T, strict=True))
    assert {name for name, status in statuses.items() if (status == Status.STALE).all()} == {"a_count", "a_rate"}
    assert all(
        (status == Status.PRESENT).all() for name, status in statuses.items() if name not in ("a_count", "a_rate")
    )
    assert features.stale_views == stale
    assert features.unknown_ads == []


def test_a_row_from_the_future_never_counts_as_fresh(plan: Plan) -> None:
    for block in plan.blocks.values():
        rows = stored(block, 2, 5.0)
        rows.times[0], rows.times[1] = NOW + AHEAD_MS, NOW + AHEAD_MS + 1
        status = settle(block, rows, NOW, NOW)
        assert (status[0] == Status.PRESENT).all()
        assert (status[1] == Status.OUTSIDE_MAX_AGE).all()


def test_nothing_stored_is_unknown(plan: Plan) -> None:
    parts = [(source, block, Rows(block, 1 if source == USER else 2)) for (source, _), block in plan.blocks.items()]
    features = assemble(plan, [*parts, (REQUEST, plan.request, Rows(plan.request, 1))], 2, NOW, NOW)
    assert features.unknown_user
    assert features.unknown_ads == [0, 1]
    assert np.isnan(features.tensors.dense).all()
    assert (features.ad_status == Status.NOT_FOUND).all()


def test_cache_is_bounded_and_forgets_the_oldest(plan: Plan) -> None:
    block = next(b for (source, _), b in plan.blocks.items() if source == AD)
    cache = RowCache(block, capacity=4, ttl_ms=100)
    cache.put(["a", "b", "c"], stored(block, 3, 10.0), NOW)
    slots = cache.find(["c", "a", "nowhere"], NOW)
    assert slots[2] == -1
    assert cache.rows.arrays["dense"][slots[:2], 0].tolist() == [12, 10]
    cache.put(["d", "e"], stored(block, 2, 20.0), NOW)
    assert len(cache) == 4
    assert cache.find(["a", "b", "e"], NOW)[0] == -1
    assert (cache.find(["b", "c", "d", "e"], NOW) >= 0).all()
    cache.put([f"many {i}" for i in range(10)], stored(block, 10, 30.0), NOW)
    assert len(cache) == 4
    last = cache.find(["many 9"], NOW)
    assert cache.rows.arrays["dense"][last, 0].tolist() == [39]


def test_a_cached_row_is_read_again_after_its_time(plan: Plan) -> None:
    block = next(b for (source, _), b in plan.blocks.items() if source == AD)
    cache = RowCache(block, capacity=4, ttl_ms=100)
    cache.put(["a"], stored(block, 1, 1.0), NOW)
    assert cache.find(["a"], NOW + 80)[0] >= 0
    assert cache.find(["a"], NOW + 101)[0] == -1
    cache.put(["a"], stored(block, 1, 2.0), NOW + 101)
    assert cache.rows.arrays["dense"][cache.find(["a"], NOW + 150), 0].tolist() == [2]
    assert len(cache) == 1


def test_rows_that_were_read_together_expire_one_by_one(plan: Plan) -> None:
    block = next(b for (source, _), b in plan.blocks.items() if source == AD)
    cache, keys = RowCache(block, 1_000, 60_000, random.Random(7)), [f"ad {i}" for i in range(1_000)]
    cache.put(keys, stored(block, 1_000, 1.0), NOW)
    expired = [int((cache.find(keys, NOW + s * 1_000) == -1).sum()) for s in range(62)]
    assert expired[48] == 0
    assert expired[61] == 1_000
    assert max(np.diff(expired)) < 150  # in any second, of the 12 in which they expire


def test_a_cache_of_some_bytes_holds_the_rows_that_fit_into_them(plan: Plan) -> None:
    block = next(b for (source, _), b in plan.blocks.items() if source == AD)
    least = sum(a.nbytes for a in Rows(block, 1).arrays.values())
    rows = rows_within(block, 1 << 20)
    assert 100 < rows < (1 << 20) / least
    assert rows_within(block, 1) == 1
    settings = Settings(ad_cache_rows=1_000_000, ad_cache_mb=1)
    reader = FeatureReader(plan, Tiers(MemoryRedis(), MemoryDynamoDB(), settings), settings, ManualClock(NOW))
    ads = [f"ad {i}" for i in range(2 * rows_within(plan.blocks[AD, DYNAMODB], 1 << 20))]
    asyncio.run(reader.warm(ads))
    assert len(reader.known_ads) == len(ads) // 2


def test_memo_makes_each_value_once_and_never_grows_beyond_its_bound() -> None:
    made: list[int] = []

    def double(n: int) -> int:
        made.append(n)
        return 2 * n

    memo = Memo(double, entries=3)
    assert [memo[n] for n in (1, 2, 1, 3, 2)] == [2, 4, 2, 6, 4]
    assert made == [1, 2, 3]
    assert memo[4] == 8
    assert len(memo) == 1
