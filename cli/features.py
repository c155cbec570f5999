"""`adfeast features`: every feature, who makes it, since when it is logged, who reads it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from adfeast.clock import to_datetime
from adfeast.feast_ext.catalogue import catalogue
from adfeast.settings import load_settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: a JSON list.")
def features(as_json: bool) -> None:
    """List every feature that is defined or read."""
    found = catalogue(load_settings())
    if as_json:
        click.echo(json.dumps([asdict(f) for f in found]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("feature", "view", "type", "made by", "logged since", "read by", "may go", box=None)
    for f in found:
        since = f"{to_datetime(f.logged_since_ms):%Y-%m-%d %H:%M}" if f.logged_since_ms else "not yet"
        table.add_row(f.name, f.view, f.type, f.maker, since, ", ".join(f.models), f.may_go)
    Console().print(table)
