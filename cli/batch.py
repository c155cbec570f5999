"""`adfeast batch ...`: the jobs a scheduler calls. Each can be called again: what is done is not done twice."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime, timedelta

import click

from adfeast.clock import SystemClock, to_datetime
from adfeast.ledger import Ledger, Run, RunInProgress
from adfeast.settings import load_settings
from cli import exit_codes
from cli.answer import answering, as_json, be_quiet, say
from cli.times import Moment, Span


@click.group(epilog=exit_codes.HELP)
def batch() -> None:
    """Batch features, training sets, and the ledger of what was made."""
    be_quiet()


@batch.command(epilog=exit_codes.HELP)
@click.option("--until", type=Moment(), help="Make the intervals that end by then; default: now, less the lateness.")
@click.option("--every", type=Span(), default="24h", show_default=True, help="Length of an interval.")
@click.option("--since", type=Moment(), help="Make also the intervals that end after this time.")
@click.option("--view", "views", multiple=True, help="Only this view; may be given several times.")
@click.option("--interval", type=Moment(), help="Make again the one interval that ends at this time.")
@click.option("--lateness", type=Span(), default="5m", show_default=True, help="Wait so long after an interval's end.")
@click.option("--grace", type=Span(), default="60s", show_default=True, help="Archive must reach so far beyond it.")
@click.option(
    "--least-rows",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="A view with less than this share of the rows of its interval before is not published.",
)
@as_json
def materialize(
    until: datetime | None,
    every: timedelta,
    since: datetime | None,
    views: tuple[str, ...],
    interval: datetime | None,
    lateness: timedelta,
    grace: timedelta,
    least_rows: float,
    json_: bool,
) -> None:
    """Make what is missing of the batch views, in the lake and online.

    Takes only intervals that have ended and whose events are archived in full; says what it waits for. Each view is
    made alone, newest interval first. Unsound rows are put aside in the lake below quarantine/. A view that fails its
    checks is not published.
    """
    if interval is not None and (until, since) != (None, None):
        raise click.UsageError("--interval makes one interval, so --until and --since have no meaning beside it")
    from training.data import materialize as job
    from training.errors import FutureInterval

    clock = SystemClock()
    end = interval or until or to_datetime(clock.now_ms()) - lateness
    limits = job.Limits(lateness, grace, least_rows)
    with answering(json_, FutureInterval, RunInProgress):
        again = interval is not None
        made = job.run(load_settings(), end, clock, every, since, views=views, again=again, limits=limits)
    lines = [_line(o.view, o.end, o.status, o.rows, o.rows_aside, o.reason) for o in made]
    say(json_, {"outcomes": [asdict(o) for o in made]}, "\n".join(lines) or f"nothing to do until {end.isoformat()}")
    statuses = {o.status for o in made}
    sys.exit(
        exit_codes.FAILED if "failed" in statuses else exit_codes.WAITS if "waits" in statuses else exit_codes.DONE
    )


def _line(view: str, end: datetime, status: str, rows: int, aside: int, reason: str) -> str:
    what = {"done": f"{rows} rows", "failed": f"FAILED: {reason}", "waits": f"waits: {reason}"}[status]
    return f"{view} until {end.isoformat()}: {what}" + (f", {aside} put aside as unsound" if aside else "")


@batch.command(epilog=exit_codes.HELP)
@click.option("--view", required=True, help="The view.")
@click.option("--interval", type=Moment(), required=True, help="End of the interval.")
@click.option("--every", type=Span(), default="24h", show_default=True, help="Length of the interval.")
@click.option("--reason", required=True, help="Stands in the ledger.")
@as_json
def skip(view: str, interval: datetime, every: timedelta, reason: str, json_: bool) -> None:
    """Give up an interval of a view; `materialize --interval` makes it all the same."""
    from training.data import materialize as job
    from training.errors import AlreadyDone

    with answering(json_, AlreadyDone, RunInProgress):
        job.skip(load_settings(), view, interval, SystemClock(), reason, every)
    facts = {"view": view, "end": interval, "status": "skipped", "reason": reason}
    say(json_, facts, f"{view} until {interval.isoformat()}: skipped")


@batch.command(epilog=exit_codes.HELP)
@click.option("--start", type=Moment(), required=True, help="First impression time.")
@click.option("--end", type=Moment(), required=True, help="End of the impression times, excluded.")
@click.option("--label-window", type=Span(), default="30m", show_default=True, help="A click counts this long.")
@click.option("--name", required=True, help="Name of the training set.")
@click.option("--as-of", type=Moment(), help="For back-tests: know only what had happened by then.")
@click.option("--grace", type=Span(), default="5m", show_default=True, help="Archive must reach so far beyond it.")
@as_json
def labels(
    start: datetime,
    end: datetime,
    label_window: timedelta,
    name: str,
    as_of: datetime | None,
    grace: timedelta,
    json_: bool,
) -> None:
    """Join impressions, snapshots and clicks into a training set, once the archive holds all that it depends on."""
    from training.data import label_join
    from training.errors import NotComplete

    with answering(json_, RunInProgress, NotComplete):
        made = label_join.run(load_settings(), start, end, label_window, name, SystemClock(), as_of, grace)
    counts = [f"{what}: {count}" for what, count in made.counts.items()]
    counts += [f"unknown contract {contract}: {count}" for contract, count in made.unknown_contracts.items()]
    say(json_, asdict(made), "\n".join([*counts, made.path]))


@batch.command(epilog=exit_codes.HELP)
@click.argument("path")
@as_json
def validate(path: str, json_: bool) -> None:
    """Check a training set against its contract."""
    from training.data import validate as job

    with answering(json_, RunInProgress):
        checked = job.run(load_settings(), path, SystemClock())
    say(json_, asdict(checked), f"{checked.rows} rows meet {checked.expectations} expectations")


@batch.command(epilog=exit_codes.HELP)
@click.option("--job", help="Only runs of this job, such as batch_view.")
@click.option("--view", "subject", help="Only runs of this view, or training set.")
@as_json
def runs(job: str | None, subject: str | None, json_: bool) -> None:
    """Show the run ledger."""
    with answering(json_):
        found = Ledger(load_settings(), SystemClock()).runs(job, subject)
    if json_:
        say(True, {"runs": [asdict(r) for r in found]}, "")
    else:
        _print_runs(found)


def _print_runs(found: list[Run]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("job", "what", "interval", "status", "rows", "attempts", "seconds", "error")
    for r in found:
        took = f"{(r.finished - r.started).total_seconds():.1f}" if r.finished else ""
        interval = f"{r.start:%Y-%m-%d %H:%M} to {r.end:%Y-%m-%d %H:%M}"
        rows = "" if r.rows is None else str(r.rows)
        table.add_row(r.job, r.subject, interval, r.status, rows, str(r.attempts), took, r.error or "")
    Console().print(table)
