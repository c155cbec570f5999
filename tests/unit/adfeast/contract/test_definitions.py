"""Definitions are what stands in the registry: read back from a really applied one, and refused where tags are
missing.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.infra.registry.sql import SqlRegistry, SqlRegistryConfig
from feast.types import Array, Float32, Int64, String

from adfeast.contract.definitions import Table
from adfeast.contract.signature import Signature
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
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.sources import declaring, event_source, lake_table, optional
from adfeast.settings import Settings

USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
HOUR = hours(1)
QUERY = "SELECT user_id, age, seen_ads, vector FROM users WHERE event_timestamp <= :as_of"


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(
        project="p", registry_url=f"sqlite:///{tmp_path}/registry.db", lake=str(tmp_path / "lake"), feature_service="s"
    )


@pytest.fixture
def registry(settings):
    return SqlRegistry(SqlRegistryConfig(path=settings.registry_url, cache_ttl_seconds=0), "p", None)


def declare(settings, *, price_window=HOUR, query=QUERY):
    with declaring(settings):
        seen = event_source("seen", {"user_id": "string", "price": optional("double", 0.5)}, "seen")
        unread = event_source("unread", {"user_id": "string"}, "read by no view")
        profile = batch_view(
            "profile",
            USER,
            query,
            [
                feature("vector", Array(Float32), "embedding", dim=4),
                feature("age", Int64, "dense", default=7, transform="log1p"),
                feature("seen_ads", Array(Int64), "list", hash_size=64, max_len=3),
            ],
            max_age=days(2),
            tier="dynamodb",
            description="who",
        )
        activity = stream_view(
            "activity",
            USER,
            seen,
            [
                windowed("spent", "sum", "price", price_window, minutes(1)),
                windowed("count_5m", "count", "event_id", minutes(5), seconds(10)),
            ],
            max_age=hours(3),
            description="what",
        )
        auction = request_source("auction", [feature("slot", String, "sparse", hash_size=8)], "asked")
        delivered = lake_table("users", "delivered", fresh=days(2))
    service = FeatureService(
        name="s", features=[activity, profile[["vector", "age"]]], tags={"request_source": "auction"}
    )
    return seen, unread, delivered, auction, profile, activity, service


def put(registry, objects):
    registry.apply_entity(USER, "p")
    for thing in objects:
        if isinstance(thing, FeatureService):
            registry.apply_feature_service(thing, "p")
        elif isinstance(thing, FeatureView):
            registry.apply_feature_view(thing, "p")
        else:
            registry.apply_data_source(thing, "p")


def test_what_was_declared_is_what_is_read(settings, registry):
    put(registry, declare(settings))
    found = load_definitions(settings)
    assert found.entities == {"user": "user_id"}
    assert found.tables == {"users": Table("users", f"{settings.lake}/tables/users", 172800)}
    columns = {topic: [f["name"] for f in schema["fields"]] for topic, schema in found.events.items()}
    assert columns == {
        "seen": ["event_id", "event_timestamp", "user_id", "price"],
        "unread": ["event_id", "event_timestamp", "user_id"],
    }
    assert found.events["seen"]["fields"][-1] == {"name": "price", "type": "double", "default": 0.5}
    profile, activity = found.views["profile"], found.views["activity"]
    assert (profile.kind, profile.tier, profile.join_key, profile.max_age_s) == ("batch", "dynamodb", "user_id", 172800)
    assert (profile.query, profile.table) == (QUERY, f"{settings.lake}/features/profile_table")
    assert [f.name for f in profile.features] == ["age", "seen_ads", "vector"]
    assert (activity.kind, activity.topic, activity.query) == ("stream", "seen", "")
    assert (profile.fresh_within_s, activity.fresh_within_s) == (None, 15)
    assert [a.text for a in activity.aggregations] == ["count(event_id) 300s by 10s", "sum(price) 3600s by 60s"]


def test_a_signature_has_the_services_order_and_only_its_features(settings, registry):
    put(registry, declare(settings))
    signature = load_definitions(settings).signature("s")
    assert [(i.name, i.source, i.role, i.dtype, i.width) for i in signature.inputs] == [
        ("count_5m", "user", "dense", "int64", 1),
        ("spent", "user", "dense", "float64", 1),
        ("age", "user", "dense", "int64", 1),
        ("vector", "user", "embedding", "float32_list", 4),
        ("slot", "request", "sparse", "string", 1),
    ]
    age = next(i for i in signature.inputs if i.name == "age")
    assert (age.default, age.transform, age.hash_size) == (7.0, "log1p", 0)


def test_a_changed_window_changes_the_hash_and_a_second_apply_does_not(settings, registry):
    put(registry, declare(settings))
    before = load_definitions(settings).signature("s").hash
    put(registry, declare(settings))
    assert load_definitions(settings).signature("s").hash == before
    put(registry, declare(settings, price_window=hours(2)))
    assert load_definitions(settings).signature("s").hash != before


def test_a_missing_registry_or_service_says_how_to_make_it(settings, registry, tmp_path):
    with pytest.raises(DefinitionError, match="run `feast apply`"):
        load_definitions(settings.model_copy(update={"registry_url": f"sqlite:///{tmp_path}/none.db"}))
    with pytest.raises(DefinitionError, match="has no feature service"):
        load_definitions(settings)
    put(registry, declare(settings))
    with pytest.raises(DefinitionError, match="'ctr_v9' is not in the registry \\(it has s\\)"):
        load_definitions(settings).signature("ctr_v9")


def bare_view(tags, field_tags, dtype=Int64):
    source = FileSource(name="t", path="/nowhere/t", timestamp_field="event_timestamp")
    fields = [Field(name="user_id", dtype=String), Field(name="f", dtype=dtype, tags=field_tags)]
    return FeatureView(name="v", entities=[USER], ttl=timedelta(days=1), schema=fields, source=source, tags=tags)


TIER, ROLE = {"tier": "redis", "max_age_seconds": "60"}, {"role": "dense", "default": "0.0"}


@pytest.mark.parametrize(
    ("tags", "field_tags", "dtype", "message"),
    [
        ({"max_age_seconds": "60"}, ROLE, Int64, "view 'v' has no tag 'tier'"),
        ({"tier": "redis"}, ROLE, Int64, "view 'v' has no tag 'max_age_seconds'"),
        (TIER | {"tier": "disk"}, ROLE, Int64, "view 'v' has tier 'disk'"),
        (TIER | {"max_age_seconds": "soon"}, ROLE, Int64, "view 'v' has max_age_seconds 'soon'"),
        (TIER, {}, Int64, "feature 'f' of 'v' has no tag 'role'"),
        (TIER, {"role": "thick"}, Int64, "feature 'f' of 'v' has role 'thick'"),
        (TIER, {"role": "dense", "default": "none"}, Int64, "feature 'f' of 'v' has default 'none'"),
        (TIER, {"role": "sparse", "hash_size": "big"}, Int64, "feature 'f' of 'v' has hash_size 'big'"),
        (TIER, ROLE, Array(String), "has type STRING_LIST"),
    ],
)
def test_a_definition_made_past_the_helpers_is_refused_by_name(settings, registry, tags, field_tags, dtype, message):
    view = bare_view(tags, field_tags, dtype)
    put(registry, [view.batch_source, view, FeatureService(name="s", features=[view])])
    with pytest.raises(DefinitionError, match=message):
        load_definitions(settings)


def test_the_same_feature_name_twice_in_a_service_is_refused(settings, registry):
    *sources, profile, activity, _ = declare(settings)
    with declaring(settings):
        twin = batch_view(
            "twin",
            USER,
            "SELECT user_id, age FROM users",
            [feature("age", Int64, "dense", default=0)],
            max_age=days(1),
            tier="redis",
            description="d",
        )
    both = FeatureService(name="s", features=[profile, twin])
    put(registry, [*sources, profile, activity, twin, both])
    with pytest.raises(DefinitionError, match="'age' stands twice in service 's'"):
        load_definitions(settings).signature("s")


def test_reading_definitions_does_not_import_feast(settings, registry):
    put(registry, declare(settings))
    code = (
        "import sys; from adfeast.settings import Settings; from adfeast.feast_ext.registry import load_definitions;"
        f"d = load_definitions(Settings(project='p', registry_url={settings.registry_url!r}));"
        "assert d.signature('s').inputs; assert 'feast' not in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def made(settings):
    return {name: i.made for (_, name), i in load_definitions(settings).identities.items()}


def test_a_changed_column_of_a_query_changes_that_feature_alone(settings, registry):
    """Its digest, and with it the ledger's key and the signature; an added column and a comment change nothing."""
    put(registry, declare(settings))
    before, digest = made(settings), load_definitions(settings).views["profile"].digest
    more = QUERY.replace("SELECT", "SELECT  /* who */").replace(", age", ", age, 1 AS more")
    put(registry, declare(settings, query=more))
    assert made(settings) == before
    put(registry, declare(settings, query=QUERY.replace(" age,", " age + 1 AS age,")))
    after = made(settings)
    assert {name for name in before if after[name] != before[name]} == {"age"}
    assert load_definitions(settings).views["profile"].digest != digest


def test_what_is_not_made_any_more_is_named(settings, registry):
    put(registry, declare(settings))
    logged = load_definitions(settings).signature("s")
    assert load_definitions(settings).missing(logged) == []
    put(registry, declare(settings, price_window=hours(2)))
    found = load_definitions(settings)
    assert found.missing(logged) == [
        "'spent' of 'activity' is another feature now: made 'sum(price) of seen, 7200s by 60s' instead of "
        "'sum(price) of seen, 3600s by 60s'"
    ]
    gone = Signature("s", (replace(logged.inputs[0], view="gone"), replace(logged.inputs[1], name="gone")))
    assert found.missing(gone) == ["no view 'gone' ('count_5m')", "view 'activity' has no feature 'gone'"]
