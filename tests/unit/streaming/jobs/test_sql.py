"""Definitions to plan to SQL, without a server."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from adfeast.contract.definitions import Aggregation, Definitions, Feature, View
from adfeast.errors import DefinitionError
from adfeast.settings import Settings
from streaming.jobs.sql import statements
from streaming.plan import ARCHIVE, FEATURES, make_plan

SCHEMA = {
    "type": "record",
    "name": "Bid",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "event_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "shop_id", "type": "string"},
        {"name": "price", "type": "double"},
    ],
}


def definitions(function: str = "sum") -> Definitions:
    features = tuple(
        Feature(n, t, "dense", 1, 0, "none", 0.0, "") for n, t in (("spent", "float64"), ("visit", "int64"))
    )
    view = View(
        name="shop_bids",
        kind="stream",
        entity="shop",
        join_key="shop_id",
        tier="redis",
        max_age_s=60,
        features=features,
        table="/lake/history",
        topic="bids",
        aggregations=(
            Aggregation("spent", function, "price", 60, 5),
            Aggregation("visit", "session_count", "price", 30, 30),
        ),
    )
    return Definitions("p", {"shop": "shop_id"}, {view.name: view}, {"bids": SCHEMA}, {}, {}, {})


def test_a_plan_is_plain_data_and_its_digest_follows_the_aggregations() -> None:
    plan = make_plan(definitions(), Settings())
    assert json.loads(json.dumps(plan)) == plan
    assert plan["views"][0]["spec"] == "1-60000-5000_0-30000-0"
    assert plan["views"][0]["columns"] == "event_id:string,event_timestamp:timestamp-millis,shop_id:string,price:double"
    changed = make_plan(definitions("count"), Settings())
    assert changed["jobs"][FEATURES]["digest"] != plan["jobs"][FEATURES]["digest"]
    assert make_plan(definitions(), Settings()) == plan


def test_a_feature_that_no_aggregation_makes_is_named() -> None:
    known = definitions()
    view = replace(known.views["shop_bids"], aggregations=())
    with pytest.raises(DefinitionError, match="'spent' of view 'shop_bids'"):
        make_plan(replace(known, views={"shop_bids": view}), Settings())


def test_every_sink_is_fed_and_the_rows_of_a_key_stay_in_order() -> None:
    plan = make_plan(definitions(), Settings())
    declare, insert = statements(plan, FEATURES)
    assert [i.split("`")[1] for i in insert] == ["features.shop_bids", "late.shop_bids"]
    sink = next(d for d in declare if d.startswith("CREATE TEMPORARY TABLE `features.shop_bids`"))
    assert "'key.fields' = 'shop_id'" in sink
    assert any("INTERVAL '0 00:00:05.000' DAY TO SECOND(3)" in d for d in declare)
    _, insert = statements(plan, ARCHIVE)
    assert {i.split("`")[1] for i in insert} == {
        "lake bids",
        "bids.dead",
        "lake snapshots",
        "snapshots.dead",
        "lake features.shop_bids",
    }
