"""What an apply must not do, and what it may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adfeast.contract.definitions import Definitions
from adfeast.feast_ext.refusals import ApplyRefused, refusals
from tests.unit.adfeast.feast_ext.small import SCHEMA, definitions, feature, model, view, with_view, without_view

BASE = definitions()
AGE, TOWN, SEEN = feature("age", "query 1"), feature("town", "query 2"), feature("seen_5m", "300s")


def activity(*features: Any, **more: Any) -> Definitions:
    return with_view(BASE, view("activity", *features, kind="stream", tier="redis", topic="seen", **more))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (activity(feature("seen_5m", "600s")), "made '300s' -> '600s'"),
        (activity(feature("seen_5m", "300s", dtype="float64")), "dtype 'int64' -> 'float64'"),
        (activity(feature("seen_5m", "300s", width=4)), "width 1 -> 4"),
        (activity(feature("seen_10m", "300s")), "looks as if it were renamed to 'seen_10m'"),
        (without_view(BASE, "activity"), "feature 'seen_5m' of 'activity' would be removed"),
        (replace(BASE, request_sources={}), "feature 'hour' of 'auction' would be removed"),
        (with_view(BASE, view("profile", AGE, TOWN, tier="redis")), "tier of view 'profile' would change"),
        (with_view(BASE, replace(view("profile", AGE, TOWN), join_key="id")), "join_key of view 'profile'"),
        (replace(BASE, services={}), "service 's' would be removed"),
    ],
)
def test_what_a_loaded_model_reads_stays_as_it_is(wanted: Definitions, said: str) -> None:
    assert refusals(BASE, wanted, []) == [], "without a model it may be done"
    [reason] = refusals(BASE, wanted, [model(BASE), model(BASE, "ctr-000002")])
    assert said in reason
    assert "loaded models ctr-000001, ctr-000002 read it" in reason


@pytest.mark.parametrize(
    "wanted",
    [
        BASE,
        activity(SEEN, feature("seen_1h", "3600s")),
        activity(feature("seen_5m", "300s", transform="log1p", default=2.0)),
        with_view(BASE, replace(view("profile", AGE, TOWN), max_age_s=9)),
        with_view(BASE, view("orders", feature("orders", "query 3"))),
    ],
)
def test_what_changes_nothing_for_a_loaded_model_may_be_applied(wanted: Definitions) -> None:
    assert refusals(BASE, wanted, [model(BASE)]) == []


def test_a_feature_that_no_model_reads_may_change_beside_one_that_is_read() -> None:
    reading = model(without_view(BASE, "activity"))
    assert refusals(BASE, activity(feature("seen_5m", "600s")), [reading]) == []


def test_the_first_apply_of_a_registry_is_held_to_the_loaded_models_too() -> None:
    assert refusals(None, BASE, [model(BASE)]) == []
    assert len(refusals(None, without_view(BASE, "profile"), [model(BASE)])) == 2


def test_a_name_stands_for_one_feature() -> None:
    [reason] = refusals(BASE, with_view(BASE, view("orders", feature("age", "query 3"))), [])
    assert reason == "feature 'age' stands in 'orders' and in 'profile': rename it in one of them"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ([*SCHEMA["fields"], {"name": "price", "type": "double"}], "'price' is not in older events"),
        ([SCHEMA["fields"][0]], "column 'shop' would be removed"),
        ([{"name": "event_id", "type": "long"}, SCHEMA["fields"][1]], "'event_id' is string in older events"),
        ([SCHEMA["fields"][0], {"name": "shop", "type": "string"}], "column 'shop' would lose its default"),
    ],
)
def test_older_events_stay_readable(columns: list[Any], said: str) -> None:
    [reason] = refusals(BASE, replace(BASE, events={"seen": {**SCHEMA, "fields": columns}}), [])
    assert reason.startswith("event 'seen': ")
    assert said in reason


def test_a_column_with_a_default_may_be_added_and_a_topic_too() -> None:
    more = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "price", "type": "double", "default": 0.0}]}
    assert refusals(BASE, replace(BASE, events={"seen": more, "sold": {**SCHEMA, "name": "sold"}}), []) == []


def test_a_refusal_gives_every_reason() -> None:
    assert str(ApplyRefused(["one", "two"])) == "apply refused, nothing was changed:\n  - one\n  - two"
