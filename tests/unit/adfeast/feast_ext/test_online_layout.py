"""Keys and fields: compared with Feast's own functions."""

from __future__ import annotations

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key, compute_entity_id
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.feast_ext.online_layout import (
    dynamodb_id,
    entity_key,
    redis_field,
    redis_key,
    redis_watermarks_key,
    view_watermark,
)


@pytest.mark.parametrize("value", ["x", "sönderbar", "a" * 300, "用户 1"])
def test_keys_are_feasts(value: str) -> None:
    key = EntityKey(join_keys=["shop_id"], entity_values=[Value(string_val=value)])
    assert entity_key("shop_id", value) == serialize_entity_key(key, 3)
    assert redis_key("shop_id", value, "p") == _redis_key("p", key)
    assert dynamodb_id("shop_id", value) == compute_entity_id(key, 3)


@pytest.mark.parametrize("name", ["a", "clicks", "x" * 40])
def test_fields_are_feasts(name: str) -> None:
    assert redis_field("view", name) == _mmh3(f"view:{name}")


def test_a_view_is_as_far_as_the_least_of_its_ways() -> None:
    """Nobody knows how far it is while one of them is missing."""
    stored = {b"clicks": b"2", b"clicks:0": b"2000", b"clicks:1": b"1000", b"clicks:2": b"7", b"views": b"2"}
    assert redis_watermarks_key("p") == b"adfeast:watermarks:p"
    assert view_watermark(stored, "clicks") == 1000
    assert view_watermark(stored | {b"views:1": b"5"}, "views") is None
    assert view_watermark(stored | {b"views:0": b"4", b"views:1": b"5"}, "views") == 4
    for broken in ({}, {b"v": b"0"}, {b"v": b"1", b"v:0": b"soon"}, {b"v": b"-1", b"v:0": b"1"}):
        assert view_watermark(broken, "v") is None
