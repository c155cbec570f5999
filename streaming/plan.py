"""From the definitions to the plan of the stream jobs: plain JSON data that says all the Flink environment must know.

The Flink environment cannot hold Feast, so nothing in a plan refers to a Python object of the definitions.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import fastavro

from adfeast.contract import event_schemas
from adfeast.contract.definitions import Definitions, View
from adfeast.contract.event_rules import pipeline_rules
from adfeast.contract.event_values import TIMESTAMP
from adfeast.contract.events import (
    CLICKS,
    EVENT_ID,
    EVENT_TIME,
    IMPRESSION_ID,
    IMPRESSIONS,
    column_defaults,
    column_types,
    fingerprint,
)
from adfeast.contract.freshness import WATERMARK_DELAY_MS
from adfeast.contract.label_states import LabelRules
from adfeast.contract.rows import SQL_TYPES, Layout, known_layouts, record_layouts
from adfeast.contract.topics import (
    dead_letter_topic,
    features_topic,
    labels_topic,
    late_topic,
    refused_labels_topic,
    topics,
)
from adfeast.errors import DefinitionError
from adfeast.settings import ROOT, Settings
from streaming.jobs.login import kafka_options
from streaming.names import ARCHIVE, LABELS, features_job, flink_name

Plan = dict[str, Any]
# Longer than a reader takes to its first message after a restart: until then its partitions count as idle and others
# make late what stands in them. Values do not wait for it, only expiries beside a silent partition do.
IDLE_TIMEOUT_MS = 30_000
FUNCTIONS = ("count", "sum", "session_count")


def stream_views(definitions: Definitions) -> list[View]:
    """The views that are kept from events, by name."""
    return sorted((v for v in definitions.views.values() if v.kind == "stream"), key=lambda v: v.name)


def make_plan(
    definitions: Definitions,
    settings: Settings,
    *,
    watermark_delay_ms: int = WATERMARK_DELAY_MS,
    idle_timeout_ms: int = IDLE_TIMEOUT_MS,
    features_checkpoint_ms: int | None = None,
    archive_checkpoint_ms: int | None = None,
    parallelism: int | None = None,
    emit_ms: int | None = None,
) -> Plan:
    """The plan of `archive`, of a job for each stream view and, if the settings ask for it, of `labels`.

    The schemas and layouts they may use are recorded.

    Args:
        watermark_delay_ms: how far an event may come behind its partition (its newest event, and the time at which
            Kafka took that) and still count.
        idle_timeout_ms: after so long without a message (wall clock) a partition no longer holds the watermark back.
        features_checkpoint_ms: instead of what the settings say, as those after it.

    Raises:
        DefinitionError: a stream view has a feature without aggregation, or one the jobs cannot make; or the schema of
            a topic has changed in a way that it cannot; or labels are asked for and no events are there to make them.
    """
    views = stream_views(definitions)
    planned = [_view(view, definitions.project) for view in views]
    event_schemas.record(settings, definitions)
    record_layouts(settings, views)
    events = [
        _event(topic, schema, event_schemas.known(settings, topic))
        for topic, schema in sorted(event_schemas.schemas(definitions).items())
    ]
    made = topics(definitions, settings)
    wide = parallelism or settings.stream_parallelism
    partitions = [made[features_topic(definitions.project, view.name)].partitions for view in views]
    plan: Plan = {
        "kafka": settings.kafka_bootstrap,
        "kafka_options": _kafka_options(settings),
        "flink_rest": settings.flink_rest,
        "project": settings.project,
        "watermark_delay_ms": watermark_delay_ms,
        "idle_timeout_ms": idle_timeout_ms,
        "parallelism": wide,
        "state_backend": settings.stream_state_backend,
        "emit_ms": settings.stream_emit_ms if emit_ms is None else emit_ms,
        # So many that no subtask and no partition of a feature topic is without one.
        "watermark_keys": 8 * max([wide, *partitions]),
        "checkpoints": settings.checkpoints,
        "function_jar": f"file://{ROOT}/.local/jars/function/adfeast-function.jar",
        "envelope": {"id": EVENT_ID, "time": EVENT_TIME},
        "event_rules": pipeline_rules(settings).in_plan(EVENT_TIME),
        "views": planned,
        "events": events,
        "topics": {name: asdict(topic) for name, topic in made.items()},
        "lake": {e["topic"]: settings.lake_path("events", e["topic"]) for e in events}
        | {p["output"]: v.table for p, v in zip(planned, views, strict=True)},
        "layouts": {p["output"]: _layouts(settings, p["name"]) for p in planned},
        "jobs": {ARCHIVE: {"checkpoint_ms": archive_checkpoint_ms or settings.archive_checkpoint_ms}},
    }
    for view in views:
        every = features_checkpoint_ms or settings.stream_checkpoint_ms
        plan["jobs"][features_job(view.name)] = {"checkpoint_ms": every, "view": view.name}
    if settings.label_window_s is not None:
        plan["labels"] = _labels(definitions, LabelRules.of(settings))
        plan["jobs"][LABELS] = {"checkpoint_ms": features_checkpoint_ms or settings.stream_checkpoint_ms}
    for name, job in plan["jobs"].items():
        job["name"] = flink_name(settings.project, name)
        job["digest"], job["tuning"] = _digests(plan, name)
    return plan


def _kafka_options(settings: Settings) -> dict[str, str]:
    security, trusted = settings.kafka_security, settings.tls_ca
    authorities = trusted.read_text() if trusted and security.endswith("SSL") else ""
    return kafka_options(security, settings.kafka_mechanism, settings.kafka_username, authorities)


def _digests(plan: Plan, job: str) -> tuple[str, str]:
    """Of what the job's state and values depend on, and of how it is run, for which it need not be built again."""
    spec = plan["jobs"][job]
    tuning = [plan[p] for p in ("kafka", "parallelism", "watermark_keys", "state_backend", "event_rules")]
    tuning.append(spec["checkpoint_ms"])
    if plan["kafka_options"]:
        tuning.append(plan["kafka_options"])
    if job == ARCHIVE:
        parts = [plan[p] for p in ("views", "layouts", "events", "lake")]
    elif job == LABELS:
        parts = [plan["watermark_delay_ms"], plan["idle_timeout_ms"], plan["labels"]]
        tuning += [e for e in plan["events"] if e["topic"] in plan["labels"]["topics"]]
    else:
        view = view_of(plan, job)
        parts = [plan["watermark_delay_ms"], plan["idle_timeout_ms"], plan["emit_ms"], view]
        # Columns that the view does not read come and go, and those that it reads never change their type.
        tuning.append(next(e for e in plan["events"] if e["topic"] == view["topic"]))
    return _sha(parts)[:12], _sha(tuning)[:6]


def _sha(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def view_of(plan: Plan, job: str) -> Plan:
    """The view that a feature job keeps."""
    found: Plan = next(v for v in plan["views"] if v["name"] == plan["jobs"][job]["view"])
    return found


def started(plan: Plan, job: str, start: Plan) -> Plan:
    """The plan with which a job starts, its state begun at `start`: `lineage`, `timestamp_ms` and `from_ms`.

    Args:
        start: kept for as long as the job has this state, also over its restarts (streaming/rebuild.py).
    """
    return plan | {"jobs": plan["jobs"] | {job: plan["jobs"][job] | {"start": start}}}


def event_topics(plan: Plan) -> list[str]:
    """The archived topics that programs write: events and snapshots."""
    return [e["topic"] for e in plan["events"]]


def _view(view: View, project: str) -> Plan:
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
        "join_key": view.join_key,
        "features": [{"name": f.name, "type": SQL_TYPES[f.dtype]} for f in view.features],
        "amounts": amounts,
        "spec": "_".join(spec),
        "layout": Layout.of(view).id.hex(),
        "output": features_topic(project, view.name),
        "late": late_topic(project, view.name),
    }


def _labels(definitions: Definitions, rules: LabelRules) -> Plan:
    for topic, column in ((IMPRESSIONS, EVENT_ID), (CLICKS, IMPRESSION_ID)):
        if column not in column_types(definitions.events.get(topic, {"fields": []})):
            raise DefinitionError(
                f"label_window_s asks for the states of labels, which need the column {column!r} of the event source "
                f"{topic!r}: define it, or set label_window_s to null"
            )
    return {
        "topics": [IMPRESSIONS, CLICKS],
        "impression_id": IMPRESSION_ID,
        "rules": rules.text,
        "output": labels_topic(definitions.project),
        "refused": refused_labels_topic(definitions.project),
    }


def _layouts(settings: Settings, view: str) -> str:
    """Every layout of a view's rows in the short form the Java decoder takes: `id=name:type,...;id=...`."""
    known = sorted(known_layouts(settings, view), key=lambda layout: layout.id)
    return ";".join(f"{k.id.hex()}={','.join(f'{name}:{kind}' for name, kind, _ in k.columns)}" for k in known)


def _event(topic: str, schema: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> Plan:
    # Defaults are no part of a fingerprint: those of today hold, so the newest comes last.
    writers = {fingerprint(s).hex(): _columns(s) for s in [*known, schema]}
    return {
        "topic": topic,
        "columns": _columns(schema),
        "writers": ";".join(f"{identity}={columns}" for identity, columns in sorted(writers.items())),
        "schemas": sorted(writers),
        "dead": dead_letter_topic(topic),
    }


def _columns(schema: Mapping[str, Any]) -> str:
    """A record schema in the short form the Java decoder takes: `name:type,...`, or `name:type=default`.

    A default stands there as its Avro bytes in hex, so that the decoder reads it as it reads a message.
    """
    texts, defaults = [], column_defaults(schema)
    for name, kind in column_types(schema).items():
        given = f"={_avro(kind, defaults[name])}" if name in defaults else ""
        texts.append(f"{name}:{kind}{given}")
    return ",".join(texts)


def _avro(kind: str, value: Any) -> str:
    out = io.BytesIO()
    wire: Any = {TIMESTAMP: "long", "array<string>": {"type": "array", "items": "string"}}.get(kind, kind)
    fastavro.schemaless_writer(out, wire, value)
    return out.getvalue().hex()
