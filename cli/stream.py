"""`adfeast stream ...`: plan and submit the stream jobs, write features to Redis, see how far they are."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from adfeast.clock import SystemClock, to_datetime, to_ms
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import load_settings
from cli import LOG_FORMAT
from cli.answer import Answer, answers
from cli.exit_codes import DONE, FAILED, WAITS
from cli.stopping import stopped_by_signal
from cli.tables import columns

if TYPE_CHECKING:
    from streaming.health import ViewHealth


@click.group()
def stream() -> None:
    """Real-time features and the archive."""


@stream.command()
def plan() -> None:
    """Prints the plan of the stream jobs, in JSON."""
    from streaming.plan import make_plan

    settings = load_settings()
    click.echo(json.dumps(make_plan(load_definitions(settings), settings), indent=2))


@stream.command()
@click.option("--wait", "switch_s", default=300.0, show_default=True, help="Seconds for changed views to catch up.")
@answers
def submit(switch_s: float) -> Answer:
    """Starts the stream jobs as the definitions want them; leaves alone what already runs so.

    Waits for whoever is at it already, such as the reconciler. A changed view is built beside its running job, which
    ends when the new one has caught up; exit code 3 when one has not in time: the reconciler, or this command given
    again, does the rest.
    """
    from streaming.plan import make_plan
    from streaming.submit import submit as bring_in_line

    settings = load_settings()
    actions = bring_in_line(make_plan(load_definitions(settings), settings), settings, switch_s=switch_s)
    lines = [f"{a.job}: {a.what}" + (f" from {a.restore}" if a.restore else "") for a in actions]
    done = WAITS if any(a.what == "beside" for a in actions) else DONE
    return Answer({a.job: {"what": a.what, "restore": a.restore} for a in actions}, lines, done)


@stream.command()
def reconcile() -> None:
    """Keeps the stream jobs in line with the definitions and says how far the archive is, until it is stopped."""
    from streaming.metrics import show_streams
    from streaming.reconcile import Reconciler

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    settings, clock, stop = load_settings(), SystemClock(), stopped_by_signal()
    show_streams(settings, clock, stop)
    Reconciler(settings, clock).run(stop)


@stream.command()
def write() -> None:
    """Writes feature values into Redis until it is stopped."""
    from streaming.redis_writer.writer import RedisWriter

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    settings = load_settings()
    RedisWriter(settings, lambda: load_definitions(settings), SystemClock()).run(stopped_by_signal())


@stream.command()
@answers
def status() -> Answer:
    """Says which jobs run, how fresh each view is, what is late, dead or has still to be read, how far the archive is.

    Done (exit code 0) only when every job runs as planned.
    """
    from streaming.health import read_health
    from streaming.plan import make_plan
    from streaming.status import read_status

    settings, clock = load_settings(), SystemClock()
    definitions = load_definitions(settings)
    plan = make_plan(definitions, settings)
    found = read_status(plan, settings)
    views = read_health(plan, definitions, settings, found.behind, clock.now_ms())
    lines = [f"{job}: {state}" for job, state in (found.jobs | found.former).items()]
    for group, topics in found.behind.items():
        lines.append(f"{group} is behind: " + ", ".join(f"{topic} {n}" for topic, n in topics.items()))
    lines += _view_table(views)
    for topic, ms in found.archived_until_ms.items():
        lines.append(f"the archive of {topic} is complete until {to_datetime(ms).isoformat()}")
    said = asdict(found) | {"as_planned": found.as_planned, "views": {v.view: _figures(v) for v in views}}
    return Answer(said, lines, DONE if found.as_planned else FAILED)


def _figures(view: ViewHealth) -> dict[str, Any]:
    return asdict(view) | {"late_share": view.late_share, "dead_share": view.dead_share}


def _view_table(views: Sequence[ViewHealth]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [
        ("VIEW", "STATE", "WATERMARK AGE", "PROMISED", "EVENTS/MIN", "LATE", "DEAD", "JOB BEHIND", "WRITER BEHIND")
    ]
    for v in views:
        age = "none" if v.age_s is None else f"{v.age_s:.1f} s"
        shares = f"{v.late_share:.2%}", f"{v.dead_share:.2%}"
        counts = str(v.job_behind), str(v.writer_behind)
        state = "stale" if v.stale else "fresh"
        rows.append((v.view, state, age, f"{v.fresh_within_s:g} s", str(v.events), *shares, *counts))
    return columns(rows)


@stream.command()
@click.option("--to", "to", required=True, type=click.DateTime(), help="event time, UTC")
def advance(to: datetime) -> None:
    """Moves event time on after a replay, so that values expire as if the time had passed."""
    from streaming.marks import advance as send
    from streaming.plan import make_plan

    settings = load_settings()
    send(settings, make_plan(load_definitions(settings), settings), to_ms(to.replace(tzinfo=UTC)))


@stream.command()
@click.option("--period", default=1.0, show_default=True, help="seconds between two marks")
def heartbeat(period: float) -> None:
    """Marks the wall clock's time in the event topics of live traffic, until it is stopped. Not during a replay."""
    from streaming.marks import heartbeat as beat
    from streaming.plan import make_plan

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    settings = load_settings()
    stop = stopped_by_signal()
    beat(settings, lambda: make_plan(load_definitions(settings), settings), SystemClock(), period, stop)
