"""What is applied, as plain data: every program of the platform is built from it at its start."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from adfeast.contract.signature import REQUEST, Contract, Identity, Input, Role, Signature
from adfeast.errors import DefinitionError


@dataclass(frozen=True)
class Feature:
    """A feature of a view or of a request source.

    Attributes:
        made: how it is made, as `adfeast.contract.signature.Identity` says; the other attributes are those of `Input`.
        low, high: bounds of a sound number, None where there is none.
        null_share: share of a batch view's rows in which it may be null.
        alias: of a request feature: another name by which REST callers may give it; empty for none.
    """

    name: str
    dtype: str
    role: Role
    width: int
    hash_size: int
    transform: str
    default: float
    description: str
    made: str = ""
    low: float | None = None
    high: float | None = None
    null_share: float = 1.0
    alias: str = ""


@dataclass(frozen=True)
class Aggregation:
    """How a stream feature is made: `function` over `column` in a sawtooth window; times in whole seconds."""

    feature: str
    function: str
    column: str
    window_s: int
    slide_s: int

    @property
    def text(self) -> str:
        return f"{self.function}({self.column}) {self.window_s}s by {self.slide_s}s"


@dataclass(frozen=True)
class View:
    """A feature view.

    Attributes:
        kind: `batch` (a query over the lake) or `stream` (windows over a topic).
        entity: its entity's name; `join_key` the column that holds the key.
        tier: `redis` or `dynamodb`.
        max_age_s: a value older than this is served as its default.
        table: path of its rows in the lake (batch: computed rows; stream: archived values).
        query: Spark SQL of a batch view, else empty.
        topic: Kafka topic of a stream view, else empty.
        reads: event topics and delivered tables that a batch view's query reads.
        bad_rows: share of a batch view's rows that may be put aside; more fail the run.
        fresh_within_s: what a stream view promises: its watermark lies at most so far behind the clock, else its values
            are served as stale; None for a batch view, whose rows have only a maximum age.
    """

    name: str
    kind: Literal["batch", "stream"]
    entity: str
    join_key: str
    tier: str
    max_age_s: int
    features: tuple[Feature, ...]
    table: str
    query: str = ""
    topic: str = ""
    aggregations: tuple[Aggregation, ...] = ()
    description: str = ""
    reads: tuple[str, ...] = ()
    bad_rows: float = 0.0
    fresh_within_s: int | None = None

    @cached_property
    def digest(self) -> str:
        """Of how its rows are made, 16 hex digits: rows made under another digest may differ."""
        made = [(f.name, f.made, f.role, f.dtype, f.width) for f in self.features]
        text = json.dumps([self.name, self.kind, self.join_key, self.topic, self.query.split(), made])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Table:
    """A table that another team delivers into the lake; a delivery older than `max_age_s` is stale (None: never)."""

    name: str
    url: str
    max_age_s: int | None = None


@dataclass(frozen=True)
class Service:
    """A feature service: its views in order, each with the features taken, and its request source."""

    name: str
    views: tuple[tuple[str, tuple[str, ...]], ...]
    request_source: str = ""


@dataclass(frozen=True)
class Definitions:
    """Everything that is applied.

    Attributes:
        entities: name to join key.
        views: name to view.
        events: topic to Avro schema (a parsed JSON object), whether a view reads it or not.
        request_sources: name to features.
        tables: the tables other teams deliver, by name.
    """

    project: str
    entities: dict[str, str]
    views: dict[str, View]
    events: dict[str, dict[str, Any]]
    request_sources: dict[str, tuple[Feature, ...]]
    services: dict[str, Service]
    tables: dict[str, Table]

    def service(self, name: str) -> Service:
        """Raises: DefinitionError: no such service is applied."""
        if name not in self.services:
            raise DefinitionError(
                f"feature service {name!r} is not in the registry (it has {', '.join(self.services) or 'none'}): "
                "run `feast apply` in feature_repo/"
            )
        return self.services[name]

    def service_views(self, name: str) -> tuple[View, ...]:
        """The views of a service in its order, each with only the features the service takes."""
        found = []
        for view, taken in self.service(name).views:
            whole = self.views[view]
            found.append(replace(whole, features=tuple(f for f in whole.features if f.name in taken)))
        return tuple(found)

    def signature(self, name: str) -> Signature:
        """Ordered inputs: the service's views in order, features by name, then the request's features as declared."""
        inputs: list[Input] = []
        for view in self.service_views(name):
            inputs += [_input(f, view.name, view.entity) for f in view.features]
        source = self.service(name).request_source
        inputs += [_input(f, source, REQUEST) for f in self.request_sources.get(source, ())]
        names = [i.name for i in inputs]
        for repeated in {n for n in names if names.count(n) > 1}:
            raise DefinitionError(f"feature {repeated!r} stands twice in service {name!r}: rename it in one view")
        return Signature(name, tuple(inputs))

    def contract(self, name: str) -> Contract:
        """What is logged for a service, whatever models take of it."""
        return Contract.union(self.signature(name))

    @cached_property
    def identities(self) -> dict[tuple[str, str], Identity]:
        """Every feature that is made today, by view (or request source) and name."""
        found = {(v.name, f.name): _input(f, v.name, v.entity) for v in self.views.values() for f in v.features}
        for source, features in self.request_sources.items():
            found |= {(source, f.name): _input(f, source, REQUEST) for f in features}
        return {key: i.identity for key, i in found.items()}

    def missing(self, wanted: Contract | Signature) -> list[str]:
        """One text for each feature of `wanted` that is not made today as it says; empty when all are."""
        found = []
        for i in wanted.inputs:
            now = self.identities.get((i.view, i.name))
            if now is None:
                what = "request source" if i.source == REQUEST else "view"
                known = i.view in self.views or i.view in self.request_sources
                found.append(
                    f"{what} {i.view!r} has no feature {i.name!r}" if known else f"no {what} {i.view!r} ({i.name!r})"
                )
            elif now != i.identity:
                changes = [
                    f"{name} {getattr(now, name)!r} instead of {getattr(i, name)!r}"
                    for name in ("source", "role", "dtype", "width", "made")
                    if getattr(now, name) != getattr(i, name)
                ]
                found.append(f"{i.name!r} of {i.view!r} is another feature now: {', '.join(changes)}")
        return found


def _input(f: Feature, view: str, source: str) -> Input:
    return Input(f.name, view, source, f.role, f.dtype, f.width, f.made, f.hash_size, f.transform, f.default)
