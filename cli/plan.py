"""`adfeast plan`: what a `feast apply` would do, before anybody does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

import click
import yaml

from adfeast.clock import SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.errors import DefinitionError
from adfeast.feast_ext.changes import Changes, compare
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.repo import declared
from adfeast.fleet import loaded_models, servers
from adfeast.ledger import Ledger
from adfeast.settings import Settings, load_settings
from cli.answer import Answer, answers
from cli.exit_codes import DONE, WAITS

SIGNS = {"added": "+", "changed": "~", "removed": "-"}


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["changes", "terraform", "kubernetes"]),
    default="changes",
    show_default=True,
    help="terraform: the JSON that infra/terraform reads; kubernetes: CronJobs; both of the definitions alone.",
)
@answers
def plan(form: Literal["changes", "terraform", "kubernetes"]) -> Answer:
    """Say what `feast apply` would change, rebuild, keep and refuse, and whom it concerns. Nothing is written."""
    settings = load_settings()
    if form == "terraform":
        return _terraform(settings)
    if form == "kubernetes":
        return _kubernetes(settings)
    wanted, models = declared(settings), loaded_models(settings)
    applied = _applied(settings)
    found = compare(applied, wanted, models, _made(settings, applied) if applied else {})
    reloading = [s.server for s in servers(settings, SystemClock().now_ms())] if found.changes else []
    return Answer(asdict(found) | {"servers": reloading}, _lines(found, reloading), WAITS if found.refused else DONE)


def _terraform(settings: Settings) -> Answer:
    from infra.terraform_plan import placeless, terraform_plan

    nowhere = placeless(settings)
    found = terraform_plan(declared(nowhere), nowhere)
    return Answer(found, [json.dumps(found, indent=2, sort_keys=True)])


def _kubernetes(settings: Settings) -> Answer:
    from infra.kubernetes_schedules import cron_jobs
    from infra.terraform_plan import placeless

    found = cron_jobs(declared(placeless(settings)), settings.feature_service)
    return Answer({"items": found}, [yaml.safe_dump_all(found, sort_keys=False)])


def _applied(settings: Settings) -> Definitions | None:
    try:
        return load_definitions(settings)
    except DefinitionError:
        return None  # nothing yet


def _made(settings: Settings, applied: Definitions) -> dict[str, list[str]]:
    """Batch view to the ends of the intervals that were made as its applied definition says."""
    ledger = Ledger(settings, SystemClock())
    batch = [v for v in applied.views.values() if v.kind == "batch"]
    return {
        v.name: [r.end.isoformat() for r in ledger.runs(subject=v.name) if r.digest == v.digest and r.status == "done"]
        for v in batch
    }


def _lines(found: Changes, reloading: list[str]) -> Iterator[str]:
    if not found.changes:
        yield "nothing would change"
    for c in found.changes:
        read = f"  [read by {', '.join(c.models)}]" if c.models else ""
        yield f"{SIGNS[c.how]} {c.kind} {c.name}{read}"
        for detail in c.details:
            yield f"    {detail}"
    for title, lines in (
        ("rebuilt", found.rebuilt),
        ("kept, although no longer defined, until `adfeast gc --apply`", found.kept),
        ("servers that will follow", reloading),
        ("REFUSED", found.refused),
    ):
        if lines:
            yield f"\n{title}:"
        for line in lines:
            yield f"  {line}"
