from __future__ import annotations

from dataclasses import replace

import hiredis
import numpy as np
import pytest

from adfeast.contract.definitions import Definitions
from adfeast.contract.signature import AD, TENSORS, USER
from adfeast.errors import DefinitionError
from adfeast.feast_ext.online_layout import redis_key
from serving.features.plan import DYNAMODB, REDIS, Index, Plan, compile_plan

SERVICE = "service"


def positions(index: Index, size: int) -> list[int]:
    return np.arange(size)[index].tolist()  # type: ignore[no-any-return]


def test_blocks_fill_every_column_once(plan: Plan) -> None:
    blocks = [*plan.blocks.values(), plan.request]
    for role in TENSORS:
        width = plan.signature.width(role)
        assert sorted(c for b in blocks for c in positions(b.columns[role], width)) == list(range(width))
    shared = [b for (source, _), b in plan.blocks.items() if source == USER] + [plan.request]
    own = [b for (source, _), b in plan.blocks.items() if source == AD]
    assert sorted(p for b in shared for p in positions(b.statuses, plan.shared_inputs)) == list(
        range(plan.shared_inputs)
    )
    assert sorted(p for b in own for p in positions(b.statuses, plan.ad_inputs)) == list(range(plan.ad_inputs))
    assert sorted(p for b in own for p in positions(b.times, plan.ad_views)) == [0, 1, 2]


def test_columns_stand_where_the_signature_says(plan: Plan) -> None:
    block = plan.blocks[AD, DYNAMODB]  # its two dense columns' neighbours belong to Redis
    names = [i.name for i in plan.signature.role("dense")]
    assert [names[c] for c in positions(block.columns["dense"], len(names))] == ["a_score"]
    redis = plan.blocks[AD, REDIS]
    assert [names[c] for c in positions(redis.columns["dense"], len(names))] == ["a_count", "a_rate"]
    assert redis.defaults.tolist() == [0.0, 0.25]
    assert redis.max_age_ms.tolist() == [10_000]
    assert plan.blocks[AD, DYNAMODB].tables == ("project.a_slow", "project.a_old")


def test_redis_command_is_one_hmget_with_all_fields(plan: Plan) -> None:
    block = plan.blocks[AD, REDIS]
    reader = hiredis.Reader()
    reader.feed(block.redis_command("ad 1 é"))
    name, key, *fields = reader.gets()
    assert name == b"HMGET"
    assert key == redis_key(block.views[0].join_key, "ad 1 é", "project")
    assert fields == list(block.fields)
    assert fields[-1] == b"_ts:a_fast"
    assert reader.gets() is False


@pytest.mark.parametrize(("change", "part"), [({"entity": "shop"}, "entity 'shop'"), ({"tier": "disk"}, "tier 'disk'")])
def test_what_cannot_be_served_is_refused_by_name(definitions: Definitions, change: dict[str, str], part: str) -> None:
    broken = replace(definitions.views["a_fast"], **change)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="'a_fast'") as caught:
        compile_plan(replace(definitions, views=definitions.views | {"a_fast": broken}), SERVICE)
    assert part in str(caught.value)


def test_a_request_feature_must_be_one_value(definitions: Definitions) -> None:
    seen = definitions.views["u_slow"].features[1]
    wide = replace(definitions, request_sources={"auction": (replace(seen, name="wide"),)})
    with pytest.raises(DefinitionError, match="'wide' has role 'list'"):
        compile_plan(wide, SERVICE)
