"""Keys and fields: compared with Feast's own functions."""

from __future__ import annotations

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key, compute_entity_id
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.feast_ext.online_layout import dynamodb_id, entity_key, redis_field, redis_key


@pytest.mark.parametrize("value", ["x", "sönderbar", "a" * 300, "用户 1"])
def test_keys_are_feasts(value: str) -> None:
    key = EntityKey(join_keys=["shop_id"], entity_values=[Value(string_val=value)])
    assert entity_key("shop_id", value) == serialize_entity_key(key, 3)
    assert redis_key("shop_id", value, "p") == _redis_key("p", key)
    assert dynamodb_id("shop_id", value) == compute_entity_id(key, 3)


@pytest.mark.parametrize("name", ["a", "clicks", "x" * 40])
def test_fields_are_feasts(name: str) -> None:
    assert redis_field("view", name) == _mmh3(f"view:{name}")
