"""Rows in Feast's layout: compared with Feast's own functions."""

from __future__ import annotations

import pytest
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.contract.events import EVENT_TIME
from streaming.errors import BadFeatureRow
from streaming.redis_writer.layout import RowLayout
from tests.unit.streaming.jobs.test_sql import definitions


def test_values_are_typed_and_a_bad_row_is_named() -> None:
    layout = RowLayout(definitions().views["shop_bids"], "p")
    good = {"shop_id": "s", EVENT_TIME: 1_500, "spent": 2, "visit": 3}
    _, ms, fields = layout.encode(good)
    assert ms == 1_500
    assert [Value.FromString(v) for v in fields[3::2]] == [Value(double_val=2), Value(int64_val=3)]
    for field, bad in (("shop_id", ""), (EVENT_TIME, None), ("visit", 1.5), ("spent", "2")):
        with pytest.raises(BadFeatureRow, match=field):
            layout.encode(good | {field: bad})
