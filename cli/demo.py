"""`adfeast demo`: the whole loop on this machine, and a report."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from cli import LOG_FORMAT
from infra.local.platform.platform import DEFAULT_HOME

LAST_REPLAYED = 29  # of November 2019; the 30th is for judging the new model


@click.command()
@click.option("--keep-up", is_flag=True, help="Leave the platform running at the end.")
@click.option("--days", type=click.IntRange(1, 5), default=1, show_default=True, help="Days to replay and learn from.")
@click.option("--fast", is_flag=True, help="Replay one day and skip the day that the new model serves.")
@click.option("--force", is_flag=True, help="Deploy the trained model also when it is not shown to be as good.")
@click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), default=DEFAULT_HOME, help="Folder of the platform."
)
def demo(keep_up: bool, days: int, fast: bool, force: bool, home: Path) -> None:
    """Plays the loop on real click data: events, features, predictions, training, the next model.

    The platform in the folder starts from nothing: what it learnt before is deleted.
    """
    home = home.resolve()
    console = Console()
    console.print(
        f"[bold]Adfeast[/bold]: one turn of the loop. Details in {home / 'logs' / 'demo.log'}", highlight=False
    )
    with _log_to(home / "logs" / "demo.log"):
        _play(console, home, days, fast, keep_up, force)


def _play(console: Console, home: Path, days: int, fast: bool, keep_up: bool, force: bool) -> None:
    from demo.report.page import summarise, write_html
    from demo.run import Days
    from demo.story import tell

    first = LAST_REPLAYED + 1 - (1 if fast else days)
    span = Days(
        history=(date(2019, 11, 24), date(2019, 11, first - 1)),
        replayed=(date(2019, 11, first), date(2019, 11, LAST_REPLAYED)),
        judged=None if fast else (date(2019, 11, LAST_REPLAYED + 1), date(2019, 11, LAST_REPLAYED + 1)),
    )
    signal.signal(signal.SIGTERM, _interrupt)  # `kill` cleans up as Ctrl-C does
    try:
        report = tell(console, home, span, keep_up, force)
    except KeyboardInterrupt as error:
        raise click.ClickException("interrupted; everything that ran was stopped") from error
    summarise(report, write_html(report, home / "report"), console)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _log_to(file: Path) -> Iterator[None]:
    """Sends what this process and the JVM inside it say on standard error into a file: warnings of a dozen libraries
    would hide the progress. Errors that end the demo are reported by the caller, on the real one; after a success it
    stays so, because DuckDB's and py4j's farewells would otherwise follow the report."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    real = os.dup(2)
    with file.open("w") as log:
        os.dup2(log.fileno(), 2)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    try:
        yield
    except BaseException:
        logging.shutdown()
        sys.stderr.flush()
        os.dup2(real, 2)
        raise
    finally:
        os.close(real)
