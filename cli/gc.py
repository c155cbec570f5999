"""`adfeast gc`: takes away what nobody defines and nobody reads any more."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from adfeast.clock import SystemClock
from adfeast.settings import load_settings
from infra.garbage import collect

UNITS = {"table": "rows", "fields": "hashes", "topic": "messages"}


@click.command()
@click.option("--apply", is_flag=True, help="Do it; without, only say what would go.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def gc(apply: bool, as_json: bool) -> None:
    """Find tables, fields and topics that nobody defines and no model or server reads; --apply deletes them.

    The lake is never touched. Refused while an apply or a deploy is at work.
    """
    found = collect(load_settings(), SystemClock(), apply=apply)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"deleted": apply}))
        return
    for g in found.garbage:
        click.echo(f"{'deleted' if apply else 'would delete'} {g.kind} {g.name} ({g.size} {UNITS[g.kind]})")
    for reason in found.left:
        click.echo(f"left {reason}")
    if not found.garbage and not found.left:
        click.echo("everything that is stored is defined or read")
