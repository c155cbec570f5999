"""`adfeast up`, `down`, `status`, `logs`, `start`, `stop`: the platform on this machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adfeast.clock import SystemClock
from adfeast.settings import settings_file
from infra.local.loops import Check, checks
from infra.local.platform.platform import LOG_LINES, Platform, Status

HARMLESS = ("ready", "stopped", "not ready: it is starting")


def _platform(parts: Sequence[str] | None = None) -> Platform:
    """The platform that owns the settings file of this process."""
    return Platform(settings_file().parent, parts)


def _ready(name: str, seconds: float) -> None:
    click.echo(f"  {name:<18} ready after {seconds:5.1f} s")


@click.command()
@click.option("--part", "parts", multiple=True, help="Only this part (may be repeated).")
@click.option("--s3", is_flag=True, help="Also an S3 endpoint, which then holds the lake (in memory).")
@click.option("--programs/--no-programs", default=True, help="Our programs that ran before, too.")
def up(parts: tuple[str, ...], s3: bool, programs: bool) -> None:
    """Start the parts that do not run, then our programs that ran before, and wait until each is ready."""
    platform = _platform(parts or None)
    if s3:
        platform = _platform([*platform.wanted, "s3"])
    click.echo(f"starting {len(platform.wanted)} parts in {platform.home.root}")
    platform.up(_ready, programs=programs and not parts)
    click.echo(f"settings written to {platform.home.settings_file}")


@click.command()
def down() -> None:
    """Stop every part; data stay."""
    platform = _platform()
    for process in platform.down():
        click.echo(f"killed a process that outlived its part: {process}")
    click.echo(f"everything in {platform.home.root} is stopped")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show every part, asked by a real request, and whether the loops turn.

    Exit code 0 when all that was started is well, else 1.
    """
    platform = _platform()
    found = platform.status()
    running = {line.part.name for line in found if line.pid}
    loops = checks(platform.settings, SystemClock(), running) if running else []
    crashed = [line.part.name for line in found if line.state == "crashed"]
    well = not any(c.ok is False for c in loops) and all(line.state in HARMLESS for line in found)
    if as_json:
        parts = {line.part.name: {"state": line.state, "pid": line.pid, "address": line.part.address} for line in found}
        click.echo(json.dumps({"well": well, "parts": parts, "loops": [asdict(c) for c in loops]}))
    else:
        _show(platform, found, loops)
        for name in crashed:
            click.echo(f"\n{name} crashed; the end of its log:")
            click.echo(platform.log(name))
    if not well:
        context.exit(1)


def _show(platform: Platform, found: list[Status], loops: list[Check]) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("part", "state", "pid", "up for", "address"):
        table.add_column(column, overflow="fold")
    for line in found:
        up_for = str(timedelta(seconds=line.uptime_s)) if line.pid else ""
        table.add_row(line.part.name, line.state, str(line.pid or ""), up_for, line.part.address)
    console = Console()
    console.print(table)
    for line in found:
        if line.part.ui and line.pid:
            console.print(f"{line.part.name} UI: {line.part.ui}", highlight=False)
    console.print(f"Feast UI: cd {platform.settings.feature_repo} && feast ui", highlight=False)
    turning = Table(box=None, header_style="bold")
    for column in ("loop", "state", ""):
        turning.add_column(column, overflow="fold")
    for check in loops:
        turning.add_row(check.name, {True: "ok", False: "[red]WRONG[/red]", None: "-"}[check.ok], escape(check.text))
    if loops:
        console.print()
        console.print(turning, highlight=False)


@click.command()
@click.argument("part")
@click.option("-n", "--lines", default=LOG_LINES, show_default=True, help="How many lines from its end.")
@click.option("-f", "--follow", is_flag=True, help="Keep showing what is appended.")
def logs(part: str, lines: int, follow: bool) -> None:
    """Show the log of PART."""
    platform = _platform()
    if follow:
        file = platform.home.log(platform.part(part).name)
        subprocess.run(["tail", "-n", str(lines), "-F", str(file)], check=False)
    else:
        click.echo(platform.log(part, lines))


@click.command()
@click.argument("part")
def start(part: str) -> None:
    """Start PART and wait until it is ready."""
    _platform().start(part, _ready)


@click.command()
@click.argument("part")
def stop(part: str) -> None:
    """Stop PART; its data stay."""
    _platform().stop(part)
