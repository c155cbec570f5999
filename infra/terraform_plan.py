"""What the Terraform modules read: the parts of a deployment that follow from the definitions, as one JSON object.

A feature that is added changes this object, never the Terraform. It holds no address and no name of an account: those
are Terraform's. It is planned against an empty history in a temporary folder, so nothing is written anywhere else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adfeast.contract.definitions import Definitions, View
from adfeast.feast_ext.online_layout import DYNAMODB_EXPIRY, DYNAMODB_KEY, dynamodb_keep_s, dynamodb_table
from adfeast.settings import Settings
from infra.terraform_schedules import schedules
from streaming.names import ARCHIVE
from streaming.plan import Plan, make_plan

FORMAT = 1
DAY_MS = 86_400_000
# What Kafka does when a topic says nothing (log.retention.hours=168).
DEFAULT_RETENTION_MS = 7 * DAY_MS
LAKE = "s3://lake"
# Addresses and folders, which a deployment has of its own.
ADDRESSES = ("kafka", "flink_rest", "function_jar", "checkpoints")


def placeless(settings: Settings) -> Settings:
    """The settings without a place, so that the same definitions give the same plan on every machine."""
    return settings.model_copy(update={"lake": LAKE, "kafka_bootstrap": ""})


def terraform_plan(definitions: Definitions, settings: Settings) -> dict[str, Any]:
    """The variable `plan` of the Terraform modules, as `*.auto.tfvars.json` holds it.

    Args:
        definitions: declared under the same settings.
        settings: without a place (`placeless`).

    Raises:
        DefinitionError: the stream jobs cannot make a feature.
    """
    planned = _stream_plan(definitions, settings)
    return {
        "plan": {
            "format": FORMAT,
            "project": definitions.project,
            "tables": {dynamodb_table(definitions.project, v.name): _table(v) for v in _tier(definitions, "dynamodb")},
            "topics": dict(sorted(_topics(planned))),
            "lake": dict(sorted(_lake(definitions, planned, settings))),
            "flink": {"jobs": {name: _job(planned, name) for name in sorted(planned["jobs"])}},
            "schedules": schedules(definitions, settings.feature_service),
        }
    }


def _stream_plan(definitions: Definitions, settings: Settings) -> Plan:
    with tempfile.TemporaryDirectory() as folder:
        nowhere = {f"{name}_url": f"sqlite:///{Path(folder) / name}.db" for name in ("registry", "ledger")}
        return make_plan(definitions, settings.model_copy(update={**nowhere, "local": Path(folder)}))


def _tier(definitions: Definitions, tier: str) -> list[View]:
    return sorted((v for v in definitions.views.values() if v.tier == tier), key=lambda v: v.name)


def _table(view: View) -> dict[str, Any]:
    return {
        "view": view.name,
        "entity": view.entity,
        "key": DYNAMODB_KEY,
        "expiry": DYNAMODB_EXPIRY,
        "max_age_s": view.max_age_s,
        "keep_s": dynamodb_keep_s(view.max_age_s),
    }


def _topics(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Topic to how it is created and what it carries, which says who may read and write it."""
    events = {e["topic"] for e in plan["events"]}
    # Labels are made, written and put aside as the values of views are, by a job with the same rights.
    made = [*plan["views"], *([plan["labels"] | {"late": plan["labels"]["refused"]}] if "labels" in plan else [])]
    values, late = ({each[what] for each in made} for what in ("output", "late"))
    for name, topic in plan["topics"].items():
        kind = "events" if name in events else "values" if name in values else "late" if name in late else "dead"
        configs = {"retention.ms": str(DEFAULT_RETENTION_MS)} | {k: str(v) for k, v in topic["configs"].items()}
        yield name, {"kind": kind, "partitions": topic["partitions"], "configs": configs}


def _lake(definitions: Definitions, plan: Plan, settings: Settings) -> Iterator[tuple[str, dict[str, str]]]:
    """Prefix in the lake to what lies there, which says how long it is kept and who may read and write it."""
    events = {e["topic"] for e in plan["events"]}
    kinds = {url: "events" if topic in events else "values" for topic, url in plan["lake"].items()}
    kinds |= {v.table: "rows" for v in definitions.views.values() if v.kind == "batch"}
    kinds |= {t.url: "delivered" for t in definitions.tables.values()}
    kinds |= {settings.lake_path(made): made for made in ("training_sets", "quarantine")}
    for url, kind in kinds.items():
        yield url.removeprefix(settings.lake_path()).strip("/") + "/", {"kind": kind}


def _job(plan: Plan, name: str) -> dict[str, Any]:
    """A Flink job: whether it makes features or the archive, and its arguments as strings."""
    spec = plan["jobs"][name]
    said = {**plan, **spec, "job": name}.items()
    arguments = {k: str(v) for k, v in said if isinstance(v, str | int) and k not in ADDRESSES}
    return {
        "kind": "archive" if name == ARCHIVE else "features",
        "parallelism": int(arguments.get("parallelism", 1)),
        "checkpoint_ms": int(spec["checkpoint_ms"]),
        "arguments": arguments,
    }
