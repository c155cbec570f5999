from __future__ import annotations

from dataclasses import replace

import hiredis
import numpy as np
import pytest

from adfeast.contract.definitions import Definitions, Service
from adfeast.contract.signature import AD, TENSORS, USER, Contract
from adfeast.contract.tensors import Columns
from adfeast.errors import DefinitionError
from adfeast.feast_ext.online_layout import redis_key
from serving.features.plan import DYNAMODB, REDIS, Plan, compile_plan

SERVICE = "service"


def serve(definitions: Definitions) -> Plan:
    return compile_plan(definitions, definitions.contract(SERVICE))


def positions(index: Columns, size: int) -> list[int]:
    return np.arange(size)[index].tolist()  # type: ignore[no-any-return]


def test_blocks_fill_every_column_once(plan: Plan) -> None:
    blocks = [*plan.blocks.values(), plan.request]
    for role in TENSORS:
        width = plan.contract.width(role)
        assert sorted(c for b in blocks for c in positions(b.columns[role], width)) == list(range(width))
    shared = [b for (source, _), b in plan.blocks.items() if source == USER] + [plan.request]
    own = [b for (source, _), b in plan.blocks.items() if source == AD]
    assert sorted(p for b in shared for p in positions(b.statuses, plan.shared_features)) == list(
        range(plan.shared_features)
    )
    assert sorted(p for b in own for p in positions(b.statuses, plan.ad_features)) == list(range(plan.ad_features))
    assert sorted(p for b in own for p in positions(b.times, plan.ad_views)) == [0, 1, 2]


def test_columns_stand_where_the_contract_says(plan: Plan) -> None:
    block = plan.blocks[AD, DYNAMODB]  # its two dense columns' neighbours belong to Redis
    names = [i.name for i in plan.contract.role("dense")]
    assert [names[c] for c in positions(block.columns["dense"], len(names))] == ["a_score"]
    redis = plan.blocks[AD, REDIS]
    assert [names[c] for c in positions(redis.columns["dense"], len(names))] == ["a_count", "a_rate"]
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
        serve(replace(definitions, views=definitions.views | {"a_fast": broken}))
    assert part in str(caught.value)


def test_a_request_feature_must_be_one_value(definitions: Definitions) -> None:
    seen = definitions.views["u_slow"].features[1]
    wide = replace(definitions, request_sources={"auction": (replace(seen, name="wide"),)})
    with pytest.raises(DefinitionError, match="'wide' has role 'list'"):
        serve(wide)


def test_what_a_loaded_model_reads_is_read_beside_the_service(definitions: Definitions) -> None:
    """Also of a view that the service has left out; what is made in another way now is refused by name."""
    service = Service(SERVICE, (("a_fast", ("a_count",)),), "auction")
    smaller = replace(definitions, services={SERVICE: service})
    whole, narrow = definitions.contract(SERVICE), smaller.contract(SERVICE)
    plan = compile_plan(smaller, Contract.union(narrow, whole))
    assert set(plan.contract.inputs) == set(whole.inputs)
    assert plan.contract.inputs[0].name == "a_count"
    assert {v.name for b in plan.blocks.values() for v in b.views} == set(definitions.views)
    assert {v.name for b in serve(smaller).blocks.values() for v in b.views} == {"a_fast"}
    other = replace(whole.inputs[0], made="in another way")
    with pytest.raises(DefinitionError, match=f"'{other.name}' of '{other.view}' is another feature now"):
        compile_plan(smaller, Contract((*narrow.inputs, other)))
