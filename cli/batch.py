"""`adfeast batch ...`: the jobs a scheduler calls."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta

import click

from adfeast.clock import SystemClock
from adfeast.settings import load_settings

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """An ISO 8601 time; without an offset it is UTC."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Aware datetime in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2019-11-29T00:00Z", param, ctx)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class Span(click.ParamType[timedelta]):
    """A length of time such as 30m, 24h or 7d."""

    name = "span"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """A positive timedelta."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([1-9]\d*)([smhd])", value)
        if not found:
            self.fail(f"{value!r} is not a length of time such as 30m, 24h or 7d", param, ctx)
        return timedelta(**{UNITS[found[2]]: int(found[1])})


class TryLater(click.ClickException):
    """What a job reads is not complete yet; a scheduler runs it again."""

    exit_code = 3


@click.group()
def batch() -> None:
    """Batch features, materialization, labels and their validation."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("training").setLevel(logging.INFO)


@batch.command()
@click.option("--as-of", type=Moment(), required=True, help="End of the interval; later events are not seen.")
def features(as_of: datetime) -> None:
    """Compute the batch views into the lake."""
    from training.data import batch_features

    for view, rows in batch_features.run(load_settings(), as_of, SystemClock()).items():
        click.echo(f"{view}: {rows} rows")


@batch.command()
@click.option("--until", type=Moment(), required=True, help="Bring the online rows up to this time.")
@click.option("--every", type=Span(), default="24h", show_default=True, help="Length of an interval.")
@click.option("--since", type=Moment(), help="Do also the intervals after this time.")
def materialize(until: datetime, every: timedelta, since: datetime | None) -> None:
    """Compute the missed intervals of the batch views and write them to the online store; safe to run twice."""
    from training.data import materialize as job

    written = job.run(load_settings(), until, SystemClock(), every, since)
    for end, rows in written.items():
        click.echo(f"until {end.isoformat()}: {rows} rows")
    if not written:
        click.echo(f"nothing to do until {until.isoformat()}")


@batch.command()
@click.option("--start", type=Moment(), required=True, help="First impression time.")
@click.option("--end", type=Moment(), required=True, help="End of the impression times, excluded.")
@click.option("--label-window", type=Span(), default="30m", show_default=True, help="A click counts this long.")
@click.option("--name", required=True, help="Name of the training set.")
@click.option("--as-of", type=Moment(), help="For back-tests: know only what had happened by then.")
def labels(start: datetime, end: datetime, label_window: timedelta, name: str, as_of: datetime | None) -> None:
    """Join impressions, snapshots and clicks into a training set; ends with 3 when they are not all archived yet."""
    from training.data import label_join
    from training.errors import NotComplete

    try:
        result = label_join.run(load_settings(), start, end, label_window, name, SystemClock(), as_of)
    except NotComplete as error:
        raise TryLater(str(error)) from error
    for what, count in result.counts.items():
        click.echo(f"{what}: {count}")
    for contract, count in result.unknown_contracts.items():
        click.echo(f"unknown contract {contract}: {count}")
    click.echo(result.path)


@batch.command()
@click.argument("path")
def validate(path: str) -> None:
    """Check a training set against its contract."""
    from training.data import validate as job

    checked = job.run(load_settings(), path, SystemClock())
    click.echo(f"{checked.rows} rows meet {checked.expectations} expectations")


@batch.command()
def runs() -> None:
    """Show the run ledger."""
    from rich.console import Console
    from rich.table import Table

    from adfeast.feast_ext.store import make_state_folders
    from adfeast.ledger import Ledger

    settings = load_settings()
    make_state_folders(settings)
    ledger = Ledger(settings, SystemClock())
    table = Table("job", "interval", "status", "rows", "attempts", "seconds", "error")
    for r in ledger.runs():
        took = f"{(r.finished - r.started).total_seconds():.1f}" if r.finished else ""
        interval = f"{r.start:%Y-%m-%d %H:%M} to {r.end:%Y-%m-%d %H:%M}"
        table.add_row(r.job, interval, r.status, str(r.rows or ""), str(r.attempts), took, r.error or "")
    Console().print(table)
