"""No online store takes a row from the future: as the newest wins, it would shut out every true one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast import Entity, FeatureView, FileSource, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.clock import ManualClock, to_ms
from adfeast.feast_ext.dynamodb import DynamoDBTierOnlineStore
from adfeast.feast_ext.errors import FutureRow
from adfeast.feast_ext.future import TOLERANCE, refuse_future
from adfeast.feast_ext.redis import RedisTierOnlineStore
from adfeast.feast_ext.two_tier import TwoTierOnlineStore

NOW = datetime(2019, 11, 29, tzinfo=UTC)
CLOCK = ManualClock(to_ms(NOW))


def row(key: str, moment: datetime) -> tuple[Any, ...]:
    return EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=key)]), {}, moment, None


@pytest.mark.parametrize("store", [DynamoDBTierOnlineStore, RedisTierOnlineStore])
def test_a_row_of_next_year_is_refused_before_the_server_is_asked(store):
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    view = FeatureView(name="seen", entities=[user], source=FileSource(name="s", path="p", timestamp_field="t"))
    rows = [row("u1", NOW), row("u2", NOW.replace(year=2020))]
    with pytest.raises(FutureRow, match=r"view 'seen': the row of user_id='u2' .* 2020-11-29T00:00:00"):
        store(CLOCK).online_write_batch(None, view, rows, None)


def test_clocks_may_differ_by_a_minute():
    refuse_future("seen", [row("u1", NOW + TOLERANCE), row("u2", NOW.replace(tzinfo=None))], CLOCK)
    refuse_future("seen", [], CLOCK)
    with pytest.raises(FutureRow):
        refuse_future("seen", [row("u1", NOW + TOLERANCE + timedelta(milliseconds=1))], CLOCK)


def test_both_tiers_refuse():
    stores = TwoTierOnlineStore()._stores.values()
    assert {type(s) for s in stores} == {DynamoDBTierOnlineStore, RedisTierOnlineStore}
