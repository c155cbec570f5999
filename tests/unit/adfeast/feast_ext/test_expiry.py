"""A row that nobody renews ends, but not while it may still be told as too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from feast import Entity, FeatureView, Field, FileSource
from feast.types import Int64

from adfeast.feast_ext.dynamodb import _end
from adfeast.feast_ext.online_layout import DYNAMODB_EXPIRY, DYNAMODB_SPARE_S

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def view(max_age: timedelta) -> FeatureView:
    return FeatureView(
        name="v",
        entities=[Entity(name="ad", join_keys=["ad_id"])],
        ttl=max_age,
        schema=[Field(name="n", dtype=Int64)],
        source=FileSource(path="/none", timestamp_field="event_timestamp"),
    )


def test_a_row_ends_a_while_after_it_is_too_old() -> None:
    end = int(MOMENT.timestamp()) + 2 * 86_400 + DYNAMODB_SPARE_S
    assert _end(view(timedelta(days=2)), MOMENT) == {DYNAMODB_EXPIRY: {"N": str(end)}}
    assert _end(view(timedelta(days=2)), MOMENT.replace(tzinfo=None)) == {DYNAMODB_EXPIRY: {"N": str(end)}}


def test_a_row_that_is_served_for_ever_has_no_end() -> None:
    assert _end(view(timedelta(0)), MOMENT) == {}
