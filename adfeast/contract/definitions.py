"""What is applied, as plain data: every program of the platform is built from it at its start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from adfeast.contract.signature import REQUEST, Input, Role, Signature
from adfeast.errors import DefinitionError


@dataclass(frozen=True)
class Feature:
    """A feature of a view; the attributes are those of `adfeast.contract.signature.Input`."""

    name: str
    dtype: str
    role: Role
    width: int
    hash_size: int
    transform: str
    default: float
    description: str


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
        events: topic to Avro schema (a parsed JSON object).
        request_sources: name to features.
        tables: name to lake path of the tables other teams deliver.
    """

    project: str
    entities: dict[str, str]
    views: dict[str, View]
    events: dict[str, dict[str, Any]]
    request_sources: dict[str, tuple[Feature, ...]]
    services: dict[str, Service]
    tables: dict[str, str]

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
            windows = {a.feature: a.text for a in view.aggregations}
            inputs += [_input(f, view.name, view.entity, windows.get(f.name, "")) for f in view.features]
        source = self.service(name).request_source
        inputs += [_input(f, source, REQUEST, "") for f in self.request_sources.get(source, ())]
        names = [i.name for i in inputs]
        for repeated in {n for n in names if names.count(n) > 1}:
            raise DefinitionError(f"feature {repeated!r} stands twice in service {name!r}: rename it in one view")
        return Signature(name, tuple(inputs))


def _input(f: Feature, view: str, source: str, aggregation: str) -> Input:
    return Input(f.name, view, source, f.role, f.dtype, f.width, f.hash_size, f.transform, f.default, aggregation)
