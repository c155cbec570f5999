"""`adfeast gc`: takes away what nobody defines and nobody reads any more."""

from __future__ import annotations

from dataclasses import asdict

import click

from adfeast.clock import SystemClock
from adfeast.settings import load_settings
from cli.answer import Answer, answers
from infra.garbage import collect

UNITS = {"table": "rows", "fields": "hashes", "topic": "messages"}


@click.command()
@click.option("--apply", is_flag=True, help="Do it; without, only say what would go.")
@answers
def gc(apply: bool) -> Answer:
    """Find tables, fields and topics that nobody defines and no model or server reads; --apply deletes them.

    The lake is never touched. Refused while an apply or a deploy is at work.
    """
    found = collect(load_settings(), SystemClock(), apply=apply)
    what = "deleted" if apply else "would delete"
    lines = [f"{what} {g.kind} {g.name} ({g.size} {UNITS[g.kind]})" for g in found.garbage]
    lines += [f"left {reason}" for reason in found.left]
    return Answer(asdict(found) | {"deleted": apply}, lines or ["everything that is stored is defined or read"])
