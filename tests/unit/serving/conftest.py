"""A small feature service with every role, tier and source, made without a registry."""

from __future__ import annotations

from typing import Any

import pytest

from adfeast.contract.definitions import Definitions, Feature, Service, View
from adfeast.contract.signature import AD, USER, Role
from serving.features.plan import DYNAMODB, REDIS, Plan, compile_plan

SERVICE = "service"
FRESH_WITHIN_S = 15


def feature(name: str, dtype: str, role: Role, width: int = 1, default: float = 0.0) -> Feature:
    return Feature(name, dtype, role, width, 100 if role in ("sparse", "list") else 0, "none", default, "")


def view(name: str, entity: str, tier: str, max_age_s: int, *features: Feature) -> View:
    promise: Any = {"kind": "stream", "fresh_within_s": FRESH_WITHIN_S} if tier == REDIS else {"kind": "batch"}
    return View(
        name,
        entity=entity,
        join_key=f"{entity}_name",
        tier=tier,
        max_age_s=max_age_s,
        features=features,
        table=f"table/{name}",
        **promise,
    )


VIEWS = (
    view("u_slow", USER, DYNAMODB, 100, feature("u_id", "int64", "sparse"), feature("u_seen", "int64_list", "list", 3)),
    view("u_fast", USER, REDIS, 10, feature("u_count", "int64", "dense", default=0.5)),
    view(
        "a_slow",
        AD,
        DYNAMODB,
        100,
        feature("a_id", "string", "sparse"),
        feature("a_vec", "float32_list", "embedding", 4),
    ),
    view(
        "a_fast",
        AD,
        REDIS,
        10,
        feature("a_count", "int64", "dense"),
        feature("a_rate", "float64", "dense", default=0.25),
    ),
    view("a_old", AD, DYNAMODB, 50, feature("a_score", "float32", "dense", default=-1.0)),
)
REQUEST_FEATURES = (
    feature("slot", "string", "sparse"),
    feature("hour", "int64", "sparse"),
    feature("bid", "float32", "dense", default=2.0),
)


@pytest.fixture
def definitions() -> Definitions:
    return Definitions(
        project="project",
        entities={USER: "user_name", AD: "ad_name"},
        views={v.name: v for v in VIEWS},
        events={},
        request_sources={"auction": REQUEST_FEATURES},
        services={
            SERVICE: Service(SERVICE, tuple((v.name, tuple(f.name for f in v.features)) for v in VIEWS), "auction")
        },
        tables={},
    )


@pytest.fixture
def plan(definitions: Definitions) -> Plan:
    return compile_plan(definitions, definitions.contract(SERVICE))
