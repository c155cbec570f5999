"""Declares what comes from elsewhere: events with their schemas, tables that other teams deliver, what callers know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from feast import FileSource, KafkaSource
from feast.data_format import AvroFormat

from adfeast.contract.event_values import COLUMN_TYPES
from adfeast.contract.events import EVENT_ID, EVENT_TIME
from adfeast.errors import DefinitionError
from adfeast.settings import Settings, load_settings

_settings: ContextVar[Settings | None] = ContextVar("settings", default=None)


@contextmanager
def declaring(settings: Settings) -> Iterator[None]:
    """Declares for this deployment instead of the one that the process' settings file describes."""
    token = _settings.set(settings)
    try:
        yield
    finally:
        _settings.reset(token)


def deployment() -> Settings:
    """The settings that declarations are made for."""
    return _settings.get() or load_settings()


@dataclass(frozen=True)
class Optional:
    """A column that a sender may leave out; `default` stands for it then."""

    type: str
    default: Any


def optional(kind: str, default: Any) -> Optional:
    """A column of an event that was added later, or that not every sender knows."""
    return Optional(kind, default)


def event_source(name: str, columns: Mapping[str, str | Optional], description: str) -> KafkaSource:
    """An event topic of this name with its schema; it is archived whether a view reads it or not.

    Args:
        columns: name to Avro primitive type, or `optional(type, default)`, which every column that is added to a
            running platform must be: what was sent before has it not. `event_id` (string) and `event_timestamp`
            (milliseconds since 1970, UTC) are added.

    Raises:
        DefinitionError: a type that is none, or a default of another type.
    """
    fields: list[dict[str, Any]] = [
        {"name": EVENT_ID, "type": "string"},
        {"name": EVENT_TIME, "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]
    for column, kind in columns.items():
        avro = kind.type if isinstance(kind, Optional) else kind
        if avro not in COLUMN_TYPES:
            raise DefinitionError(
                f"column {column!r} of event {name!r} has type {avro!r}, not {', '.join(COLUMN_TYPES)}"
            )
        field: dict[str, Any] = {"name": column, "type": avro}
        if isinstance(kind, Optional):
            if type(kind.default) not in COLUMN_TYPES[avro]:
                raise DefinitionError(f"default of column {column!r} of event {name!r} is {kind.default!r}, not {avro}")
            field["default"] = kind.default
        fields.append(field)
    schema = json.dumps({"type": "record", "name": name, "namespace": "adfeast", "fields": fields})
    settings = deployment()
    return KafkaSource(
        name=name,
        kafka_bootstrap_servers=settings.kafka_bootstrap,
        topic=name,
        timestamp_field=EVENT_TIME,
        message_format=AvroFormat(schema),
        batch_source=FileSource(
            name=f"{name}_archive",
            path=settings.lake_path("events", name),
            timestamp_field=EVENT_TIME,
            description=f"archived {name}",
            tags={"kind": "archive"},
            s3_endpoint_override=settings.s3_endpoint,
        ),
        description=description,
        tags={"kind": "events"},
    )


def lake_table(name: str, description: str, *, fresh: timedelta | None = None) -> FileSource:
    """A Parquet table that another team delivers into the lake.

    Args:
        fresh: a newest delivery older than this is stale, and views that read the table are not made of it.
    """
    tags = {"kind": "table"}
    if fresh is not None:
        tags["max_age_seconds"] = str(int(fresh.total_seconds()))
    return lake_parquet(name, "tables", description, tags)


def lake_parquet(name: str, folder: str, description: str, tags: dict[str, str]) -> FileSource:
    """A folder of Parquet files with both timestamps, at its place in the lake."""
    settings = deployment()
    return FileSource(
        name=name,
        path=settings.lake_path(folder, name),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        description=description,
        tags=tags,
        s3_endpoint_override=settings.s3_endpoint,
    )
