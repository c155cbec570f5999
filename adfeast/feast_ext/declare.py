"""The declaring helpers of `feature_repo/`: a feature view reads like a table, and a wrong one fails at import.

Feast accepts in silence an unknown column or function, a window that is no multiple of its slide, a feature without its
aggregation, and compares stream views without looking at their aggregations. These helpers refuse the first four before
the registry is touched and say in a tag how each feature is made, so that a changed window is a changed feature.
What Feast's types cannot say stands in tags, all of them strings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    KafkaSource,
    RequestSource,
    StreamFeatureView,
)
from feast.aggregation import Aggregation
from feast.data_format import AvroFormat
from feast.types import Array, FeastType, Float32, Float64, Int64, String

from adfeast.contract.freshness import FRESH_WITHIN_S, LEAST_FRESH_WITHIN_S, ROOM_S, WATERMARK_DELAY_MS
from adfeast.errors import DefinitionError
from adfeast.feast_ext.query import Query
from adfeast.feast_ext.registry import TIERS
from adfeast.feast_ext.sources import deployment, lake_parquet

ROLES = ("dense", "sparse", "list", "embedding")
TRANSFORMS = ("none", "log1p")
FUNCTIONS = ("count", "sum", "session_count")
NUMERIC = ("int", "long", "float", "double")


def seconds(n: int) -> timedelta:
    """A duration of n seconds."""
    return timedelta(seconds=n)


def minutes(n: int) -> timedelta:
    """A duration of n minutes."""
    return timedelta(minutes=n)


def hours(n: int) -> timedelta:
    """A duration of n hours."""
    return timedelta(hours=n)


def days(n: int) -> timedelta:
    """A duration of n days."""
    return timedelta(days=n)


def feature(
    name: str,
    dtype: FeastType,
    role: str,
    *,
    default: float | int | str | None = None,
    transform: str = "none",
    hash_size: int | None = None,
    max_len: int | None = None,
    dim: int | None = None,
    low: float | None = None,
    high: float | None = None,
    null_share: float = 1.0,
    alias: str = "",
    description: str = "",
) -> Field:
    """One feature with the tags the platform reads.

    Args:
        role: `dense` (a number), `sparse` (an id, hashed into `hash_size` buckets by the model; a String is hashed
            where it is made), `list` (at most `max_len` ids), `embedding` (exactly `dim` floats).
        default: what the model is given when the value is missing or too old; ids, lists and embeddings need none.
        transform: applied inside the model to a dense value.
        low, high: bounds of a sound dense value; a batch row outside is put aside.
        null_share: share of a batch view's rows in which the value may be null.
        alias: of a request feature: another name by which REST callers may give it.

    Raises:
        DefinitionError: a tag is missing, unknown or does not fit the type.
    """

    def refuse(problem: str) -> DefinitionError:
        return DefinitionError(f"feature {name!r}: {problem}")

    if role not in ROLES:
        raise refuse(f"role {role!r} is not one of {', '.join(ROLES)}")
    if transform not in TRANSFORMS:
        raise refuse(f"transform {transform!r} is not one of {', '.join(TRANSFORMS)}")
    tags: dict[str, str] = {"role": role}
    if role == "dense":
        if default is None:
            raise refuse("a dense feature needs a default=, the value used when it is missing or too old")
        if dtype not in (Int64, Float32, Float64):
            raise refuse(f"a dense feature is Int64, Float32 or Float64, not {dtype}")
        tags |= {"default": repr(float(default)), "transform": transform}
    elif default is not None or transform != "none":
        raise refuse(f"default= and transform= are for dense features, not for role {role!r}")
    if role in ("sparse", "list"):
        if hash_size is None or hash_size < 2:
            raise refuse(f"role {role!r} needs hash_size= of at least 2, got {hash_size}")
        tags["hash_size"] = str(hash_size)
    elif hash_size is not None:
        raise refuse(f"hash_size= is for sparse and list features, not for role {role!r}")
    if role == "sparse" and dtype not in (Int64, String):
        raise refuse(f"a sparse feature is Int64 or String, not {dtype}")
    if role == "list":
        if max_len is None or max_len < 1 or dtype != Array(Int64):
            raise refuse(f"a list feature is Array(Int64) with max_len= of at least 1, got {dtype}, {max_len}")
        tags["max_len"] = str(max_len)
    if role == "embedding":
        if dim is None or dim < 1 or dtype != Array(Float32):
            raise refuse(f"an embedding feature is Array(Float32) with dim= of at least 1, got {dtype}, {dim}")
        tags["dim"] = str(dim)
    if (low, high) != (None, None) and role != "dense":
        raise refuse(f"low= and high= are for dense features, not for role {role!r}")
    if low is not None and high is not None and low > high:
        raise refuse(f"low={low} is above high={high}")
    if not 0 <= null_share <= 1:
        raise refuse(f"null_share={null_share} is not a share between 0 and 1")
    tags |= {tag: repr(float(value)) for tag, value in (("low", low), ("high", high)) if value is not None}
    if null_share < 1:
        tags["null_share"] = repr(float(null_share))
    if alias:
        tags["alias"] = alias
    return Field(name=name, dtype=dtype, description=description, tags=tags)


@dataclass(frozen=True)
class Windowed:
    """A feature of a stream view with the aggregation that makes it."""

    field: Field
    aggregation: Aggregation


def windowed(
    name: str,
    function: str,
    column: str,
    window: timedelta,
    slide: timedelta | None = None,
    *,
    transform: str = "log1p",
    description: str = "",
) -> Windowed:
    """A sawtooth window (docs/semantics.md) over one column of the view's events.

    Args:
        function: `count`, `sum`, or `session_count`: events since the last pause longer than `window`.
        slide: the tile, a divisor of `window` in whole seconds; default window / 30. Sessions have none.

    Raises:
        DefinitionError: an unknown function or a window that is not a whole number of tiles.
    """
    if function not in FUNCTIONS:
        raise DefinitionError(f"feature {name!r}: function {function!r} is not one of {', '.join(FUNCTIONS)}")
    tile = window if function == "session_count" else slide or window / 30
    if window <= timedelta(0) or tile <= timedelta(0) or window % tile or tile % seconds(1):
        raise DefinitionError(f"feature {name!r}: window {window} is not a whole number of slides of {tile} in seconds")
    dtype = Float64 if function == "sum" else Int64
    made = f"{function} over {window}, in steps of {tile}"
    if function == "session_count":
        made = f"events of the session, which a pause of more than {window} ends"
    return Windowed(
        feature(name, dtype, "dense", default=0, transform=transform, description=description or made),
        Aggregation(column=column, function=function, time_window=window, slide_interval=tile, name=name),
    )


def batch_view(
    name: str,
    entity: Entity,
    query: str,
    features: Sequence[Field],
    *,
    max_age: timedelta,
    tier: str,
    description: str,
    bad_rows: float = 0.01,
) -> FeatureView:
    """A view whose rows the batch job computes with `query` (Spark SQL) and materialization writes to its tier.

    The query sees every table of the lake and every archived event topic by name, `hash_id(text)`, and `:as_of`, the
    end of the interval; it returns the join key and the features. One row a key; the job adds the timestamps.

    Args:
        bad_rows: share of the rows that the job may put aside, with the reason; more fail the view's run.

    Raises:
        DefinitionError: the query cannot be read, lacks a column, or a tag is bad.
    """
    _check_view(name, features, tier)
    if not 0 <= bad_rows <= 1:
        raise DefinitionError(f"view {name!r}: bad_rows={bad_rows} is not a share between 0 and 1")
    read = Query(name, query)
    made = [_made(f, read.made(entity.join_key, f.name)) for f in features]
    tags = {"kind": "computed", "query": query, "reads": ",".join(read.reads), "bad_rows": repr(float(bad_rows))}
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=max_age,
        schema=[Field(name=entity.join_key, dtype=String), *made],
        source=lake_parquet(f"{name}_table", "features", f"what the batch job computes for {name}", tags),
        online=True,
        description=description,
        tags=_view_tags(tier, max_age),
    )


def stream_view(
    name: str,
    entity: Entity,
    events: KafkaSource,
    features: Sequence[Windowed],
    *,
    max_age: timedelta,
    description: str,
    tier: str = "redis",
    fresh_within: timedelta | None = None,
) -> StreamFeatureView:
    """A view whose values a Flink job keeps from `events`; the job is planned from what stands here.

    Args:
        fresh_within: values are served as stale, which is blank, when the view's watermark lies further behind; whole
            seconds, default 15. It holds for what is made already, so it is no part of how a feature is made.

    Raises:
        DefinitionError: a column that the events have not, the same aggregation twice, a bad tag or tier, or a promise
            of freshness that no watermark can keep.
    """
    within = seconds(FRESH_WITHIN_S) if fresh_within is None else fresh_within
    if within < seconds(LEAST_FRESH_WITHIN_S) or within % seconds(1):
        raise DefinitionError(
            f"view {name!r}: fresh_within={within} cannot be promised: whole seconds, at least {LEAST_FRESH_WITHIN_S}, "
            f"because a watermark trails by {WATERMARK_DELAY_MS // 1000} s and needs {ROOM_S} s to be published"
        )
    aggregations = [f.aggregation for f in features]
    _check_view(name, [f.field for f in features], tier)
    if tier != "redis":
        raise DefinitionError(f"view {name!r}: values of a stream are written to Redis only, not to tier {tier!r}")
    topic, schema = events.kafka_options.topic, events.kafka_options.message_format.schema_json
    columns = {c["name"]: c["type"] for c in json.loads(schema)["fields"]}
    if entity.join_key not in columns:
        raise DefinitionError(f"view {name!r}: the events {topic!r} have no column {entity.join_key!r}")
    seen = set()
    for a in aggregations:
        if a.column not in columns:
            raise DefinitionError(
                f"feature {a.name!r} of view {name!r}: {topic!r} has no column {a.column!r}; "
                f"it has {', '.join(columns)}"
            )
        if a.function == "sum" and columns[a.column] not in NUMERIC:
            raise DefinitionError(f"feature {a.name!r}: cannot sum column {a.column!r} of type {columns[a.column]}")
        key = (a.column, a.function, a.time_window, a.slide_interval)
        if key in seen:
            raise DefinitionError(f"feature {a.name!r} of view {name!r} repeats another feature's aggregation")
        seen.add(key)
    fields = [_made(f.field, _window(topic, f.aggregation)) for f in features]
    source = KafkaSource(
        name=f"{name}_events",
        kafka_bootstrap_servers=deployment().kafka_bootstrap,
        topic=topic,
        timestamp_field="event_timestamp",
        message_format=AvroFormat(schema),
        batch_source=lake_parquet(
            f"{name}_history", "stream_features", f"archived values of {name}", {"kind": "computed"}
        ),
        description=f"events of {topic} as {name} reads them",
        tags={"kind": "view"},
    )
    return StreamFeatureView(
        name=name,
        entities=[entity],
        ttl=max_age,
        source=source,
        schema=[Field(name=entity.join_key, dtype=String), *fields],
        aggregations=aggregations,
        timestamp_field="event_timestamp",
        online=True,
        description=description,
        # Feast compares stream views without their aggregations; those of the fields it sees.
        tags=_view_tags(tier, max_age)
        | {"fresh_within_seconds": str(int(within.total_seconds()))}
        | {"windows": "; ".join(f"{f.name}={f.tags['made']}" for f in fields)},
    )


def feature_service(
    name: str, views: Sequence[FeatureView | StreamFeatureView], request: RequestSource, description: str
) -> FeatureService:
    """What is logged, and what a new model may take, in order: whole views, then what the caller knows."""
    return FeatureService(
        name=name, features=list(views), tags={"request_source": request.name}, description=description
    )


def _made(field: Field, how: str) -> Field:
    return Field(name=field.name, dtype=field.dtype, description=field.description, tags={**field.tags, "made": how})


def _window(topic: str, a: Aggregation) -> str:
    window, slide = int(a.time_window.total_seconds()), int(a.slide_interval.total_seconds())
    return f"{a.function}({a.column}) of {topic}, {window}s by {slide}s"


def request_source(name: str, features: Sequence[Field], description: str) -> RequestSource:
    """What the caller of Predict knows and no store does."""
    _check_names(name, features)
    names = [f.name for f in features] + [f.tags["alias"] for f in features if "alias" in f.tags]
    for repeated in {n for n in names if names.count(n) > 1}:
        raise DefinitionError(f"{name!r} knows {repeated!r} twice: an alias must be no other feature's name or alias")
    return RequestSource(name=name, schema=list(features), description=description)


def _view_tags(tier: str, max_age: timedelta) -> dict[str, str]:
    return {"tier": tier, "max_age_seconds": str(int(max_age.total_seconds()))}


def _check_view(name: str, features: Sequence[Field], tier: str) -> None:
    if tier not in TIERS:
        raise DefinitionError(f"view {name!r}: tier {tier!r} is not one of {', '.join(TIERS)}")
    _check_names(name, features)
    for f in features:
        if "alias" in f.tags:
            raise DefinitionError(f"feature {f.name!r} of view {name!r}: alias= is for request features")


def _check_names(name: str, features: Sequence[Field]) -> None:
    names = [f.name for f in features]
    for repeated in {n for n in names if names.count(n) > 1}:
        raise DefinitionError(f"{name!r} declares feature {repeated!r} twice")
    for f in features:
        if "role" not in f.tags:
            raise DefinitionError(f"feature {f.name!r} of {name!r} has no role tag: declare it with feature(...)")
