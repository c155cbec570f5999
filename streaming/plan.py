"""From the definitions to the plan of the stream jobs: plain JSON data that says all the Flink environment must know.

The Flink environment cannot hold Feast, so nothing in a plan refers to a Python object of the definitions.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from adfeast.contract.definitions import Definitions, View
from adfeast.contract.events import EVENT_ID, EVENT_TIME, dead_letter_topic
from adfeast.contract.snapshots import SCHEMA as SNAPSHOT
from adfeast.contract.snapshots import TOPIC as SNAPSHOTS
from adfeast.errors import DefinitionError
from adfeast.settings import ROOT, Settings

Plan = dict[str, Any]
FEATURES, ARCHIVE = "features", "archive"
WATERMARK_DELAY_MS = 5_000
# Longer than a reader takes to its first message after a restart: until then its partitions count as idle and others
# make late what stands in them. Values do not wait for it, only expiries beside a silent partition do.
IDLE_TIMEOUT_MS = 30_000
SQL_TYPES = {"int64": "BIGINT", "float64": "DOUBLE", "float32": "DOUBLE"}
FUNCTIONS = ("count", "sum", "session_count")


def features_topic(view: str) -> str:
    """Where the values of a stream view go."""
    return f"features.{view}"


def late_topic(view: str) -> str:
    """Where the events go that came behind the watermark of a stream view."""
    return f"late.{view}"


def stream_views(definitions: Definitions) -> list[View]:
    """The views that are kept from events, by name."""
    return sorted((v for v in definitions.views.values() if v.kind == "stream"), key=lambda v: v.name)


def make_plan(
    definitions: Definitions,
    settings: Settings,
    *,
    watermark_delay_ms: int = WATERMARK_DELAY_MS,
    idle_timeout_ms: int = IDLE_TIMEOUT_MS,
    features_checkpoint_ms: int = 2_000,
    archive_checkpoint_ms: int = 5_000,
    parallelism: int = 1,
) -> Plan:
    """The plan of the jobs `features` and `archive`.

    Args:
        watermark_delay_ms: how far an event may come behind the newest one of its partition and still count.
        idle_timeout_ms: after so long without a message (wall clock) a partition no longer holds the watermark back.

    Raises:
        DefinitionError: a stream view has a feature without aggregation, or one the jobs cannot make.
    """
    views = stream_views(definitions)
    events = {topic: _columns(schema) for topic, schema in sorted(definitions.events.items())}
    raw = [*events.items(), (SNAPSHOTS, _columns(SNAPSHOT))]
    plan: Plan = {
        "kafka": settings.kafka_bootstrap,
        "flink_rest": settings.flink_rest,
        "project": settings.project,
        "watermark_delay_ms": watermark_delay_ms,
        "idle_timeout_ms": idle_timeout_ms,
        "parallelism": parallelism,
        "checkpoints": f"file://{settings.local}/state/streaming",
        "function_jar": f"file://{ROOT}/.local/jars/function/adfeast-function.jar",
        "envelope": {"id": EVENT_ID, "time": EVENT_TIME},
        "views": [_view(view, events) for view in views],
        "events": [{"topic": topic, "columns": columns, "dead": dead_letter_topic(topic)} for topic, columns in raw],
        "lake": {topic: settings.lake_path("events", topic) for topic, _ in raw}
        | {features_topic(v.name): v.table for v in views},
        "jobs": {
            FEATURES: {"checkpoint_ms": features_checkpoint_ms},
            ARCHIVE: {"checkpoint_ms": archive_checkpoint_ms},
        },
    }
    for name, job in plan["jobs"].items():
        job["name"] = f"{settings.project}-{name}"
        job["digest"] = _digest(plan, name)
    return plan


def _digest(plan: Plan, job: str) -> str:
    """Equal for two plans whose job does the same and can go on from the other's checkpoint."""
    parts = {
        FEATURES: ["kafka", "watermark_delay_ms", "idle_timeout_ms", "parallelism", "views", "events"],
        ARCHIVE: ["kafka", "parallelism", "views", "events", "lake"],
    }[job]
    text = json.dumps([plan[p] for p in parts] + [plan["jobs"][job]["checkpoint_ms"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _view(view: View, events: dict[str, str]) -> Plan:
    aggregations = {a.feature: a for a in view.aggregations}
    amounts = sorted({a.column for a in view.aggregations if a.function == "sum"})
    spec = []
    for feature in view.features:
        a = aggregations.get(feature.name)
        if a is None or a.function not in FUNCTIONS or feature.dtype not in SQL_TYPES:
            made = a.text if a else "no aggregation"
            raise DefinitionError(
                f"feature {feature.name!r} of view {view.name!r} ({feature.dtype}, {made}) cannot be made by the "
                f"stream job: declare it with windowed(...); functions: {', '.join(FUNCTIONS)}"
            )
        # Column 0 of the function's amounts is the constant 1, whose sum is the count.
        column = 1 + amounts.index(a.column) if a.function == "sum" else 0
        slide = 0 if a.function == "session_count" else a.slide_s
        spec.append(f"{column}-{a.window_s * 1000}-{slide * 1000}")
    return {
        "name": view.name,
        "topic": view.topic,
        "columns": events[view.topic],
        "join_key": view.join_key,
        "features": [{"name": f.name, "type": SQL_TYPES[f.dtype]} for f in view.features],
        "amounts": amounts,
        "spec": "_".join(spec),
        "output": features_topic(view.name),
        "late": late_topic(view.name),
    }


def _columns(schema: dict[str, Any]) -> str:
    """An Avro record schema in the short form the Java decoder takes: `name:type,...`."""

    def kind(avro: Any) -> str:
        if isinstance(avro, str):
            return avro
        if avro.get("logicalType") == "timestamp-millis":
            return "timestamp-millis"
        if avro["type"] == "array" and avro["items"] == "string":
            return "array<string>"
        raise DefinitionError(f"the stream jobs cannot read a column of type {avro}")

    return ",".join(f"{f['name']}:{kind(f['type'])}" for f in schema["fields"])
