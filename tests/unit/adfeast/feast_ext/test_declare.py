"""A wrong definition fails where it is written, with a message that names it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from feast import Entity, ValueType
from feast.types import Array, Float32, Int64, String

from adfeast.errors import DefinitionError
from adfeast.feast_ext.declare import (
    batch_view,
    days,
    feature,
    hours,
    minutes,
    request_source,
    seconds,
    stream_view,
    windowed,
)
from adfeast.feast_ext.sources import declaring, event_source, optional
from adfeast.settings import Settings

THING = Entity(name="thing", join_keys=["thing_id"], value_type=ValueType.STRING)
SEEN = event_source("seen", {"thing_id": "string", "price": "double", "colour": "string"}, "things that were seen")
COUNT = windowed("seen", "count", "event_id", minutes(5), seconds(10))


def stream(features, *, tier="redis", events=SEEN, name="seen_lately", **more):
    return stream_view(
        name, THING, events, features, max_age=days(1), tier=tier, description="things seen lately", **more
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Int64, "dens"), "role 'dens' is not one of"),
        ((Int64, "dense"), "needs a default="),
        ((String, "dense", {"default": 0}), "a dense feature is"),
        ((Int64, "dense", {"default": 0, "transform": "sqrt"}), "transform 'sqrt'"),
        ((Int64, "dense", {"default": 0, "hash_size": 4}), "hash_size= is for"),
        ((Int64, "sparse"), "hash_size= of at least 2"),
        ((Float32, "sparse", {"hash_size": 4}), "a sparse feature is"),
        ((Int64, "sparse", {"hash_size": 4, "default": 0}), "default= and transform="),
        ((Array(Int64), "list", {"hash_size": 4}), "max_len="),
        ((Int64, "list", {"hash_size": 4, "max_len": 3}), "max_len="),
        ((Array(Float32), "embedding"), "dim="),
        ((Array(Int64), "embedding", {"dim": 3}), "dim="),
    ],
)
def test_a_feature_says_what_its_role_needs(arguments, message):
    dtype, role, *rest = arguments
    with pytest.raises(DefinitionError, match=message) as error:
        feature("f", dtype, role, **(rest[0] if rest else {}))
    assert "'f'" in str(error.value)


@pytest.mark.parametrize(
    ("window", "slide", "function", "message"),
    [
        (minutes(5), seconds(7), "count", "not a whole number of slides"),
        (minutes(5), timedelta(milliseconds=500), "count", "not a whole number of slides"),
        (timedelta(0), seconds(1), "count", "not a whole number of slides"),
        (minutes(5), None, "median", "function 'median'"),
    ],
)
def test_a_window_is_whole_tiles_of_whole_seconds(window, slide, function, message):
    with pytest.raises(DefinitionError, match=message):
        windowed("f", function, "event_id", window, slide)


def test_a_stream_view_fits_its_events():
    with pytest.raises(DefinitionError, match="no column 'weight'; it has event_id, event_timestamp, thing_id"):
        stream([windowed("f", "sum", "weight", hours(1))])
    with pytest.raises(DefinitionError, match="cannot sum column 'colour' of type string"):
        stream([windowed("f", "sum", "colour", hours(1))])
    with pytest.raises(DefinitionError, match="repeats another feature's aggregation"):
        stream([COUNT, windowed("again", "count", "event_id", minutes(5), seconds(10))])
    with pytest.raises(DefinitionError, match="declares feature 'seen' twice"):
        stream([COUNT, windowed("seen", "sum", "price", hours(1))])
    with pytest.raises(DefinitionError, match="have no column 'thing_id'"):
        stream([COUNT], events=event_source("bare", {"other_id": "string"}, "bare"))
    with pytest.raises(DefinitionError, match="tier 'disk' is not one of redis, dynamodb"):
        stream([COUNT], tier="disk")


def test_a_field_without_a_role_is_refused():
    from feast import Field

    bare = Field(name="bare", dtype=Int64)
    with pytest.raises(DefinitionError, match="'bare' of 'auctions' has no role tag"):
        request_source("auctions", [bare], "what a caller knows")
    with pytest.raises(DefinitionError, match="'bare' of 'v' has no role tag"):
        batch_view("v", THING, "SELECT 1", [bare], max_age=days(1), tier="dynamodb", description="a view")


def test_values_of_a_stream_go_to_redis_only():
    with pytest.raises(DefinitionError, match="written to Redis only, not to tier 'dynamodb'"):
        stream([COUNT], tier="dynamodb")


@pytest.mark.parametrize("within", [timedelta(0), seconds(5), seconds(7), timedelta(seconds=8, milliseconds=500)])
def test_a_promise_of_freshness_is_one_that_a_watermark_can_keep(within):
    message = f"view 'seen_lately': fresh_within={within} cannot be promised: whole seconds, at least 8, because a"
    with pytest.raises(DefinitionError, match=message):
        stream([COUNT], fresh_within=within)
    assert stream([COUNT], fresh_within=seconds(8)).tags["fresh_within_seconds"] == "8"


def test_a_promise_of_freshness_is_no_part_of_how_a_feature_is_made():
    one, other = stream([COUNT]), stream([COUNT], fresh_within=minutes(2))
    assert one.tags["fresh_within_seconds"] == "15"
    assert [f.tags for f in one.schema] == [f.tags for f in other.schema]
    assert {k for k in one.tags if one.tags[k] != other.tags[k]} == {"fresh_within_seconds"}


def test_an_event_column_says_its_type_and_its_default():
    with pytest.raises(DefinitionError, match="column 'price' of event 'sold' has type 'money'"):
        event_source("sold", {"price": "money"}, "sold")
    with pytest.raises(DefinitionError, match="default of column 'price' of event 'sold' is 'free', not double"):
        event_source("sold", {"price": optional("double", "free")}, "sold")


def test_a_changed_window_is_another_feature_and_another_view():
    one, other = stream([COUNT]), stream([windowed("seen", "count", "event_id", minutes(10), seconds(10))])
    made = [next(f.tags["made"] for f in v.schema if f.name == "seen") for v in (one, other)]
    assert made == ["count(event_id) of seen, 300s by 10s", "count(event_id) of seen, 600s by 10s"]
    assert one.tags["windows"] != other.tags["windows"]
    assert one.tags == stream([COUNT]).tags


def test_views_are_declared_for_the_deployment_that_applies_them(tmp_path):
    with declaring(Settings(lake=str(tmp_path), kafka_bootstrap="kafka:1")):
        view = stream([COUNT])
    assert view.batch_source.path == f"{tmp_path}/stream_features/seen_lately_history"
    assert view.stream_source.kafka_options.kafka_bootstrap_servers == "kafka:1"


def test_an_alias_is_a_name_of_its_own_and_for_request_features_only():
    slot, page = (
        feature("slot", String, "sparse", hash_size=8, alias="place"),
        feature("page", Int64, "sparse", hash_size=8),
    )
    assert request_source("auction", [slot, page], "asked").schema[0].tags["alias"] == "place"
    taken = feature("page", Int64, "sparse", hash_size=8, alias="slot")
    with pytest.raises(DefinitionError, match="'auction' knows 'slot' twice"):
        request_source("auction", [slot, taken], "asked")
    with pytest.raises(DefinitionError, match="feature 'page' of view 'v': alias= is for request features"):
        batch_view("v", THING, "SELECT 1", [taken], max_age=days(1), tier="dynamodb", description="a view")
