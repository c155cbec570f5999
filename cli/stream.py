"""`adfeast stream ...`: plan and submit the stream jobs, write features to Redis, see how far they are."""

from __future__ import annotations

import json
import logging
import signal
import threading
from datetime import UTC, datetime
from types import FrameType

import click

from adfeast.clock import SystemClock, to_ms
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import load_settings
from cli import LOG_FORMAT


@click.group()
def stream() -> None:
    """Real-time features and the archive."""


@stream.command()
def plan() -> None:
    """Prints the plan of the stream jobs."""
    from streaming.plan import make_plan

    settings = load_settings()
    click.echo(json.dumps(make_plan(load_definitions(settings), settings), indent=2))


@stream.command()
def submit() -> None:
    """Starts the stream jobs as the definitions want them; leaves alone what already runs so."""
    from streaming.plan import make_plan
    from streaming.submit import submit as bring_in_line

    settings = load_settings()
    for action in bring_in_line(make_plan(load_definitions(settings), settings), settings):
        click.echo(f"{action.job}: {action.what}" + (f" from {action.restore}" if action.restore else ""))


@stream.command()
def write() -> None:
    """Writes feature values into Redis until it is stopped."""
    from streaming.redis_writer.writer import RedisWriter

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    settings = load_settings()
    RedisWriter(settings, lambda: load_definitions(settings), SystemClock()).run(_stopped_by_signal())


@stream.command()
def status() -> None:
    """Says which jobs run and how many messages they and the Redis writer have still to read."""
    from streaming.flink_rest import FlinkRest
    from streaming.plan import ARCHIVE, FEATURES, make_plan
    from streaming.progress import lag
    from streaming.redis_writer.writer import writer_group

    settings = load_settings()
    made = make_plan(load_definitions(settings), settings)
    rest = FlinkRest(settings.flink_rest)
    for job in (FEATURES, ARCHIVE):
        spec = made["jobs"][job]
        found = rest.alive(spec["name"])
        state = "not running" if not found else found.state
        if found and found.digest != spec["digest"]:
            state += ", but the definitions have changed: run `adfeast stream submit`"
        click.echo(f"{spec['name']}: {state}")
    for group, topics in (
        (made["jobs"][FEATURES]["name"], sorted({v["topic"] for v in made["views"]})),
        (made["jobs"][ARCHIVE]["name"], sorted(made["lake"])),
        (writer_group(settings.project), sorted(v["output"] for v in made["views"])),
    ):
        click.echo(f"{group} is behind: " + ", ".join(f"{t} {n}" for t, n in lag(settings, group, topics).items()))


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
    stop = _stopped_by_signal()
    beat(settings, lambda: make_plan(load_definitions(settings), settings), SystemClock(), period, stop)


def _stopped_by_signal() -> threading.Event:
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop
