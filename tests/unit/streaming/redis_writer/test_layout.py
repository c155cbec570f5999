"""Rows of several layouts in Feast's layout."""

from __future__ import annotations

from dataclasses import replace

from feast.protos.feast.types.Value_pb2 import Value

from adfeast.contract.definitions import View
from adfeast.contract.rows import BESIDE_MS, Layout
from adfeast.feast_ext.online_layout import redis_field, redis_key, redis_lifetimes
from streaming.redis_writer.layout import Progress, RowLayout, Rows
from streaming.redis_writer.values import bulk, times
from tests.unit.streaming.jobs.test_sql import definitions

VIEW = definitions().views["shop_bids"]
AT = 1_574_500_000_123


def encoded(layout: Layout, view: View, *rows: tuple[bytes, int, list[float]], progress: int = 0) -> Rows:
    made = RowLayout(layout, view, "p", 60, Progress(progress))
    table = made.table([layout.encode(ms, values) for _, ms, values in rows])
    return made.rows(table, [key for key, _, _ in rows])


def arguments(limit: int, ms: int, *values: Value) -> bytes:
    return b"".join([bulk(b"%d" % limit), *times([ms]), *(bulk(v.SerializeToString()) for v in values)])


def test_the_newest_row_of_a_key_is_taken_and_the_later_of_equals() -> None:
    layout = Layout.of(VIEW)
    rows = encoded(
        layout, VIEW, (b"a", AT, [1, 1]), (b"b", AT, [2, 2]), (b"a", AT + 5, [3, 3]), (b"a", AT + 5, [4.5, 4]),
        (b"a", AT + 4, [5, 5]), (b"b", AT, [6, 6]),
    )  # fmt: skip
    assert dict(zip(rows.keys, rows.arguments, strict=True)) == {
        bulk(redis_key("shop_id", "a", "p")): arguments(AT + 5, AT + 5, Value(double_val=4.5), Value(int64_val=4)),
        bulk(redis_key("shop_id", "b", "p")): arguments(AT, AT, Value(double_val=6), Value(int64_val=6)),
    }
    assert sorted(rows.sources) == [3, 5]
    assert rows.newest_ms == AT + 5


def test_a_former_layout_gives_what_the_view_still_has() -> None:
    old = Layout("shop_bids", "shop_id", (("gone", "BIGINT", ""), ("spent", "BIGINT", ""), ("visit", "DOUBLE", "")))
    rows = encoded(old, VIEW, (b"a", AT, [1, 2, 3]))
    assert rows.arguments == [arguments(AT, AT, Value(double_val=2))]
    assert rows.width == 2
    assert bulk(redis_field("shop_bids", "spent")) in rows.constant
    assert bulk(redis_field("shop_bids", "visit")) not in rows.constant


def test_a_former_layout_gives_way_at_equal_times_once_the_new_one_is_there() -> None:
    old = Layout("shop_bids", "shop_id", (("spent", "DOUBLE", "another window"),))
    value = Value(double_val=1)
    for progress, limit in ((0, AT), (AT - BESIDE_MS - 1, AT), (AT - BESIDE_MS, AT - 1), (AT + 1, AT - 1)):
        rows = encoded(old, VIEW, (b"a", AT, [1]), progress=progress)
        assert rows.arguments == [arguments(limit, AT, value)]


def test_a_hash_lives_as_long_as_its_longest_view() -> None:
    known = definitions()
    longer = replace(VIEW, name="longer", max_age_s=600)
    elsewhere = replace(VIEW, name="elsewhere", max_age_s=6000, tier="dynamodb", kind="batch")
    other = replace(VIEW, name="other", join_key="other_id", max_age_s=5)
    for found in ((VIEW, longer, elsewhere, other), (other, elsewhere, longer, VIEW)):
        views = {v.name: v for v in found}
        assert redis_lifetimes(replace(known, views=views)) == {"shop_id": 600, "other_id": 5}
