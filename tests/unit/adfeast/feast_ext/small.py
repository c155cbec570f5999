"""Small definitions to change, and a model that reads all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adfeast.contract.definitions import Definitions, Feature, Service, View
from adfeast.fleet import LoadedModel

SCHEMA = {
    "type": "record",
    "name": "seen",
    "fields": [{"name": "event_id", "type": "string"}, {"name": "shop", "type": "string", "default": ""}],
}


def feature(name: str, made: str, **more: Any) -> Feature:
    base = Feature(name, "int64", "dense", 1, 0, "none", 0.0, "", made)
    return replace(base, **more)


def view(name: str, *features: Feature, kind: Any = "batch", tier: str = "dynamodb", **more: Any) -> View:
    return View(name, kind, "user", "user_id", tier, 60, tuple(features), f"lake/{name}", **more)


def definitions(**more: Any) -> Definitions:
    base = Definitions(
        project="p",
        entities={"user": "user_id"},
        views={
            "profile": view("profile", feature("age", "query 1"), feature("town", "query 2")),
            "activity": view("activity", feature("seen_5m", "300s"), kind="stream", tier="redis", topic="seen"),
        },
        events={"seen": SCHEMA},
        request_sources={"auction": (feature("hour", ""),)},
        services={"s": Service("s", (("profile", ("age", "town")), ("activity", ("seen_5m",))), "auction")},
        tables={},
    )
    return replace(base, **more)


def with_view(base: Definitions, changed: View) -> Definitions:
    """With the view, whole, in place of the one of its name."""
    taken = dict(base.services["s"].views) | {changed.name: tuple(f.name for f in changed.features)}
    service = Service("s", tuple(taken.items()), "auction")
    return replace(base, views=base.views | {changed.name: changed}, services={"s": service})


def without_view(base: Definitions, name: str) -> Definitions:
    taken = tuple((v, names) for v, names in base.services["s"].views if v != name)
    views = {n: v for n, v in base.views.items() if n != name}
    return replace(base, views=views, services={"s": Service("s", taken, "auction")})


def model(of: Definitions, name: str = "ctr-000001") -> LoadedModel:
    return LoadedModel(name, 1, "onnx", of.signature("s"), 0)
