"""`adfeast batch ...`: the jobs a scheduler calls. Each can be called again: what is done is not done twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta

import click

from adfeast.clock import SystemClock, to_datetime
from adfeast.ledger import Ledger, Run
from adfeast.settings import load_settings
from cli.answer import Answer, answers
from cli.exit_codes import DONE, FAILED, WAITS
from cli.quiet import be_quiet
from cli.tables import columns
from cli.times import Moment, Span


@click.group()
def batch() -> None:
    """Batch features, training sets, and the ledger of what was made."""
    be_quiet()


@batch.command()
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
@answers
def materialize(
    until: datetime | None,
    every: timedelta,
    since: datetime | None,
    views: tuple[str, ...],
    interval: datetime | None,
    lateness: timedelta,
    grace: timedelta,
    least_rows: float,
) -> Answer:
    """Make what is missing of the batch views, in the lake and online.

    Takes only intervals that have ended and whose events are archived in full; says what it waits for. Each view is
    made alone, newest interval first. Unsound rows are put aside in the lake below quarantine/. A view that fails its
    checks is not published.
    """
    if interval is not None and (until, since) != (None, None):
        raise click.UsageError("--interval makes one interval, so --until and --since have no meaning beside it")
    from training.data import materialize as job

    clock = SystemClock()
    end = interval or until or to_datetime(clock.now_ms()) - lateness
    limits = job.Limits(lateness, grace, least_rows)
    again = interval is not None
    made = job.run(load_settings(), end, clock, every, since, views=views, again=again, limits=limits)
    lines = [_line(o.view, o.end, o.status, o.rows, o.rows_aside, o.reason) for o in made]
    statuses = {o.status for o in made}
    code = FAILED if "failed" in statuses else WAITS if "waits" in statuses else DONE
    return Answer({"outcomes": [asdict(o) for o in made]}, lines or [f"nothing to do until {end.isoformat()}"], code)


def _line(view: str, end: datetime, status: str, rows: int, aside: int, reason: str) -> str:
    what = {"done": f"{rows} rows", "failed": f"FAILED: {reason}", "waits": f"waits: {reason}"}[status]
    return f"{view} until {end.isoformat()}: {what}" + (f", {aside} put aside as unsound" if aside else "")


@batch.command()
@click.option("--view", required=True, help="The view.")
@click.option("--interval", type=Moment(), required=True, help="End of the interval.")
@click.option("--every", type=Span(), default="24h", show_default=True, help="Length of the interval.")
@click.option("--reason", required=True, help="Stands in the ledger.")
@answers
def skip(view: str, interval: datetime, every: timedelta, reason: str) -> Answer:
    """Give up an interval of a view; `materialize --interval` makes it all the same."""
    from training.data import materialize as job

    job.skip(load_settings(), view, interval, SystemClock(), reason, every)
    facts = {"view": view, "end": interval, "status": "skipped", "reason": reason}
    return Answer(facts, [f"{view} until {interval.isoformat()}: skipped"])


@batch.command()
@click.option("--start", type=Moment(), required=True, help="First impression time.")
@click.option("--end", type=Moment(), required=True, help="End of the impression times, excluded.")
@click.option("--label-window", type=Span(), default="30m", show_default=True, help="A click counts this long.")
@click.option("--name", required=True, help="Name of the training set.")
@click.option("--as-of", type=Moment(), help="For back-tests: know only what had happened by then.")
@click.option("--grace", type=Span(), default="5m", show_default=True, help="Archive must reach so far beyond it.")
@click.option(
    "--negatives",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the impressions without a click to take; each weighs as many as it stands for.",
)
@answers
def labels(
    start: datetime,
    end: datetime,
    label_window: timedelta,
    name: str,
    as_of: datetime | None,
    grace: timedelta,
    negatives: float,
) -> Answer:
    """Join impressions, snapshots and clicks into a training set, once the archive holds all that it depends on."""
    from training.data import label_join

    clock = SystemClock()
    made = label_join.run(load_settings(), start, end, label_window, name, clock, as_of, grace, negatives)
    counts = [f"{what}: {count}" for what, count in made.counts.items()]
    counts += [f"unknown contract {contract}: {count}" for contract, count in made.unknown_contracts.items()]
    return Answer(asdict(made), [*counts, made.path])


@batch.command()
@click.argument("path")
@click.option(
    "--most-missing",
    multiple=True,
    metavar="[NAME=]SHARE",
    help="In which share of the rows a feature (or any that is not named) may be unknown; may be repeated.",
)
@answers
def validate(path: str, most_missing: tuple[str, ...]) -> Answer:
    """Check a training set against its contract."""
    from training.data import validate as job

    checked = job.run(load_settings(), path, SystemClock(), most_missing=dict(map(_share, most_missing)))
    lines = [f"{checked.rows} rows meet {checked.expectations} expectations"]
    for feature, rows in checked.statuses.items():
        if rows.get("present") != checked.rows:
            lines.append(f"{feature}: " + ", ".join(f"{n} {status}" for status, n in rows.items()))
    return Answer(asdict(checked), lines)


def _share(text: str) -> tuple[str, float]:
    name, found, number = text.rpartition("=")
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise click.BadParameter(f"{text!r} is not a share such as 0.5, or NAME=0.5", param_hint="--most-missing")
    return name if found else "*", share


@batch.command()
@click.option("--job", help="Only runs of this job, such as batch_view.")
@click.option("--view", "subject", help="Only runs of this view, or training set.")
@answers
def runs(job: str | None, subject: str | None) -> Answer:
    """Show the run ledger."""
    found = Ledger(load_settings(), SystemClock()).runs(job, subject)
    return Answer({"runs": [asdict(r) for r in found]}, _table(found))


def _table(found: list[Run]) -> Iterator[str]:
    lines = [("JOB", "WHAT", "INTERVAL", "STATUS", "ROWS", "ATTEMPTS", "SECONDS", "ERROR")]
    for r in found:
        took = f"{(r.finished - r.started).total_seconds():.1f}" if r.finished else ""
        interval = f"{r.start:%Y-%m-%d %H:%M} to {r.end:%Y-%m-%d %H:%M}"
        rows = "" if r.rows is None else str(r.rows)
        lines.append((r.job, r.subject, interval, r.status, rows, str(r.attempts), took, r.error or ""))
    return columns(lines)
