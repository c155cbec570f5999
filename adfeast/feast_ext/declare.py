"""The declaring helpers of `feature_repo/`: a feature view reads like a table, and a wrong one fails at import.

Feast accepts in silence an unknown column or function, a window that is no multiple of its slide, a feature without its
aggregation, and compares stream views without looking at their aggregations. These helpers refuse the first four before
the registry is touched and put a digest of the aggregations into a tag, so that a changed window is a changed view.
What Feast's types cannot say stands in tags, all of them strings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, KafkaSource, RequestSource, StreamFeatureView
from feast.aggregation import Aggregation
from feast.data_format import AvroFormat
from feast.types import Array, FeastType, Float32, Float64, Int64, String

from adfeast.contract.events import EVENT_ID, EVENT_TIME
from adfeast.errors import DefinitionError
from adfeast.feast_ext.registry import TIERS
from adfeast.settings import Settings, load_settings

ROLES = ("dense", "sparse", "list", "embedding")
TRANSFORMS = ("none", "log1p")
FUNCTIONS = ("count", "sum", "session_count")
ENVELOPE = (EVENT_ID, EVENT_TIME)
NUMERIC = ("int", "long", "float", "double")

_settings: ContextVar[Settings | None] = ContextVar("settings", default=None)


@contextmanager
def declaring(settings: Settings) -> Iterator[None]:
    """Declares for this deployment instead of the one that the process' settings file describes."""
    token = _settings.set(settings)
    try:
        yield
    finally:
        _settings.reset(token)


def _deployment() -> Settings:
    return _settings.get() or load_settings()


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
    description: str = "",
) -> Field:
    """One feature with the tags the platform reads.

    Args:
        role: `dense` (a number), `sparse` (an id, hashed into `hash_size` buckets by the model; a String is hashed
            where it is made), `list` (at most `max_len` ids), `embedding` (exactly `dim` floats).
        default: what the model is given when the value is missing or too old; ids, lists and embeddings need none.
        transform: applied inside the model to a dense value.

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


def event_schema(name: str, columns: dict[str, str]) -> str:
    """Avro schema, as JSON, of an event with its id and its time first.

    Args:
        columns: name to Avro primitive type; every column is required. `event_id` (string) and `event_timestamp`
            (milliseconds since 1970, UTC) are added.
    """
    envelope = [
        {"name": EVENT_ID, "type": "string"},
        {"name": EVENT_TIME, "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]
    fields = envelope + [{"name": column, "type": kind} for column, kind in columns.items()]
    return json.dumps({"type": "record", "name": name, "namespace": "adfeast", "fields": fields})


def lake_table(name: str, folder: str, description: str, query: str | None = None) -> FileSource:
    """A Parquet table of the lake; with a `query`, one that the batch job computes from the other tables."""
    settings = _deployment()
    return FileSource(
        name=name,
        path=settings.lake_path(folder, name),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        description=description,
        tags={"query": query} if query else {},
        s3_endpoint_override=settings.s3_endpoint,
    )


def batch_view(
    name: str, entity: Entity, query: str, features: Sequence[Field], *, max_age: timedelta, tier: str, description: str
) -> FeatureView:
    """A view whose rows the batch job computes with `query` (Spark SQL) and materialization writes to its tier.

    The query sees every table of the lake and every archived event topic by name, `hash_id(text)`, and `:as_of`, the
    end of the interval; it returns the join key and the features. One row a key; the job adds the timestamps.
    """
    _check_view(name, features, tier)
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=max_age,
        schema=[Field(name=entity.join_key, dtype=String), *features],
        source=lake_table(f"{name}_table", "features", f"what the batch job computes for {name}", query),
        online=True,
        description=description,
        tags=_view_tags(tier, max_age),
    )


def stream_view(
    name: str,
    entity: Entity,
    topic: str,
    schema: str,
    features: Sequence[Windowed],
    *,
    max_age: timedelta,
    tier: str,
    description: str,
) -> StreamFeatureView:
    """A view whose values a Flink job keeps from the events of `topic`; the job is planned from what stands here.

    Raises:
        DefinitionError: a column that the schema has not, the same aggregation twice, or a bad tag.
    """
    fields = [f.field for f in features]
    aggregations = [f.aggregation for f in features]
    _check_view(name, fields, tier)
    columns = {c["name"]: c["type"] for c in json.loads(schema)["fields"]}
    if entity.join_key not in columns or any(c not in columns for c in ENVELOPE):
        raise DefinitionError(f"view {name!r}: the schema of topic {topic!r} lacks {entity.join_key} or {ENVELOPE}")
    seen = set()
    for a in aggregations:
        if a.column not in columns:
            raise DefinitionError(
                f"feature {a.name!r} of view {name!r}: topic {topic!r} has no column {a.column!r}; "
                f"it has {', '.join(columns)}"
            )
        if a.function == "sum" and columns[a.column] not in NUMERIC:
            raise DefinitionError(f"feature {a.name!r}: cannot sum column {a.column!r} of type {columns[a.column]}")
        key = (a.column, a.function, a.time_window, a.slide_interval)
        if key in seen:
            raise DefinitionError(f"feature {a.name!r} of view {name!r} repeats another feature's aggregation")
        seen.add(key)
    digest = hashlib.sha256(
        repr([(a.name, a.column, a.function, a.time_window, a.slide_interval) for a in aggregations]).encode()
    )
    settings = _deployment()
    source = KafkaSource(
        name=f"{name}_events",
        kafka_bootstrap_servers=settings.kafka_bootstrap,
        topic=topic,
        timestamp_field="event_timestamp",
        message_format=AvroFormat(schema),
        batch_source=lake_table(f"{name}_history", "stream_features", f"archived values of {name}"),
        description=f"events of {topic} as {name} reads them",
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
        tags=_view_tags(tier, max_age) | {"aggregations_digest": digest.hexdigest()[:16]},
    )


def request_source(name: str, features: Sequence[Field], description: str) -> RequestSource:
    """What the caller of Predict knows and no store does."""
    _check_names(name, features)
    return RequestSource(name=name, schema=list(features), description=description)


def _view_tags(tier: str, max_age: timedelta) -> dict[str, str]:
    return {"tier": tier, "max_age_seconds": str(int(max_age.total_seconds()))}


def _check_view(name: str, features: Sequence[Field], tier: str) -> None:
    if tier not in TIERS:
        raise DefinitionError(f"view {name!r}: tier {tier!r} is not one of {', '.join(TIERS)}")
    _check_names(name, features)


def _check_names(name: str, features: Sequence[Field]) -> None:
    names = [f.name for f in features]
    for repeated in {n for n in names if names.count(n) > 1}:
        raise DefinitionError(f"{name!r} declares feature {repeated!r} twice")
    for f in features:
        if "role" not in f.tags:
            raise DefinitionError(f"feature {f.name!r} of {name!r} has no role tag: declare it with feature(...)")
