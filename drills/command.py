"""How a drill is run from the command line."""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from drills.errors import Broken
from drills.outcome import Outcome


def tell(play: Callable[[Path], Outcome]) -> None:
    """Plays a drill in a folder that is gone afterwards and prints what it found; ends with 1 if a promise broke."""
    logging.captureWarnings(True)  # Feast's import lets through what `python -W ignore` does not
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the platform on the way out
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        try:
            outcome = play(Path(folder))
        except Broken as error:
            click.echo(str(error), err=True)
            sys.exit(1)
    for name, seconds in outcome.steps:
        click.echo(f"{seconds:8.1f} s  {name}")
    click.echo(json.dumps(outcome.figures, indent=1))
