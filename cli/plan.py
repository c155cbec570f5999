"""`adfeast plan`: what a `feast apply` would do, before anybody does it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from adfeast.clock import SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.errors import DefinitionError
from adfeast.feast_ext.changes import Changes, compare
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.repo import declared
from adfeast.fleet import loaded_models, servers
from adfeast.ledger import Ledger
from adfeast.settings import Settings, load_settings

REFUSED = 3
SIGNS = {"added": "+", "changed": "~", "removed": "-"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
@click.pass_context
def plan(context: click.Context, as_json: bool) -> None:
    """Say what `feast apply` would change, rebuild, keep and refuse, and whom it concerns. Nothing is written.

    Exit codes: 0 it would be applied, 1 the definitions cannot be read, 3 it would be refused.
    """
    settings = load_settings()
    wanted, models = declared(settings), loaded_models(settings)
    applied = _applied(settings)
    found = compare(applied, wanted, models, _made(settings, applied) if applied else {})
    reloading = [s.server for s in servers(settings, SystemClock().now_ms())] if found.changes else []
    if as_json:
        click.echo(json.dumps(asdict(found) | {"servers": reloading}))
    else:
        _show(found, reloading)
    if found.refused:
        context.exit(REFUSED)


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


def _show(found: Changes, reloading: list[str]) -> None:
    if not found.changes:
        click.echo("nothing would change")
    for c in found.changes:
        read = f"  [read by {', '.join(c.models)}]" if c.models else ""
        click.echo(f"{SIGNS[c.how]} {c.kind} {c.name}{read}")
        for detail in c.details:
            click.echo(f"    {detail}")
    for title, lines in (
        ("rebuilt", found.rebuilt),
        ("kept, although no longer defined, until `adfeast gc --apply`", found.kept),
        ("servers that will follow", reloading),
        ("REFUSED", found.refused),
    ):
        if lines:
            click.echo(f"\n{title}:")
        for line in lines:
            click.echo(f"  {line}")
