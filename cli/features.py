"""`adfeast features`: every feature, who makes it, since when it is logged, who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from adfeast.clock import to_datetime
from adfeast.feast_ext.catalogue import Entry, catalogue
from adfeast.settings import load_settings
from cli.answer import Answer, answers
from cli.tables import columns


@click.command()
@answers
def features() -> Answer:
    """List every feature that is defined or read."""
    found = catalogue(load_settings())
    return Answer({"features": [asdict(f) for f in found]}, _table(found))


def _table(found: list[Entry]) -> Iterator[str]:
    lines = [("FEATURE", "VIEW", "TYPE", "MADE BY", "LOGGED SINCE", "MAY GO", "READ BY")]
    for f in found:
        since = f"{to_datetime(f.logged_since_ms):%Y-%m-%d %H:%M}" if f.logged_since_ms else "not yet"
        lines.append((f.name, f.view, f.type, f.maker, since, f.may_go, ", ".join(f.models)))
    return columns(lines)
