"""What an apply would do, said before it is done."""

from __future__ import annotations

from dataclasses import replace

from adfeast.feast_ext.changes import Change, compare
from tests.unit.adfeast.feast_ext.small import SCHEMA, definitions, feature, model, view, with_view, without_view

BASE = definitions()


def test_nothing_changes_between_equal_definitions() -> None:
    found = compare(BASE, BASE, [model(BASE)])
    assert (found.changes, found.rebuilt, found.kept, found.refused) == ((), (), (), ())


def test_a_first_apply_adds_everything() -> None:
    found = compare(None, BASE, [])
    assert {(c.kind, c.name, c.how) for c in found.changes} == {
        ("view", "activity", "added"),
        ("view", "profile", "added"),
        ("feature", "activity.seen_5m", "added"),
        ("feature", "profile.age", "added"),
        ("feature", "profile.town", "added"),
        ("feature", "auction.hour", "added"),
        ("event", "seen", "added"),
        ("request source", "auction", "added"),
        ("service", "s", "added"),
    }
    assert found.rebuilt == found.kept == ()


def test_a_changed_window_names_old_and_new_its_readers_and_what_starts_anew() -> None:
    changed = view("activity", feature("seen_5m", "600s"), kind="stream", tier="redis", topic="seen")
    found = compare(BASE, with_view(BASE, changed), [model(BASE)])
    assert found.changes == (
        Change("feature", "activity.seen_5m", "changed", ("made: 300s -> 600s",), ("ctr-000001",)),
    )
    assert "built beside the running one" in found.rebuilt[0]
    assert "ctr-000001" in found.refused[0]


def test_another_query_makes_the_intervals_due_again_that_were_made() -> None:
    changed = view("profile", feature("age", "query 9"), feature("town", "query 2"))
    found = compare(BASE, with_view(BASE, changed), [], {"profile": ["2019-11-28", "2019-11-29"]})
    assert found.rebuilt == ("batch view profile: another query, 2 intervals are due again (2019-11-28, 2019-11-29)",)


def test_what_concerns_new_models_only_is_said_so_and_rebuilds_nothing() -> None:
    changed = view("profile", feature("age", "query 1", transform="log1p"), feature("town", "query 2"))
    found = compare(BASE, with_view(BASE, changed), [model(BASE)])
    [change] = found.changes
    assert change.details == ("transform: none -> log1p (for new models)",)
    assert found.rebuilt == found.refused == ()


def test_what_is_no_longer_defined_stays_where_it_is_stored() -> None:
    assert compare(BASE, without_view(BASE, "profile"), []).kept == ("DynamoDB table p.profile",)
    assert compare(BASE, without_view(BASE, "activity"), []).kept == (
        "Redis fields of activity: seen_5m",
        "Kafka topic features.p.activity",
    )


def test_an_event_column_that_is_added_is_named_with_its_default() -> None:
    more = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "price", "type": "double", "default": 0.5}]}
    assert compare(BASE, replace(BASE, events={"seen": more}), []).changes == (Change("column", "seen.price", "added"),)


def test_another_promise_of_freshness_is_named_and_makes_nothing_anew() -> None:
    changed = replace(BASE.views["activity"], fresh_within_s=30)
    found = compare(BASE, with_view(BASE, changed), [model(BASE)])
    assert found.changes == (Change("view", "activity", "changed", ("fresh_within_s: None -> 30",)),)
    assert found.rebuilt == found.refused == ()
