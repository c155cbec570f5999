"""`adfeast ads ...`: the table of ads in shared memory."""

from __future__ import annotations

import asyncio
import logging

import click

from adfeast.clock import SystemClock
from adfeast.settings import load_settings
from cli import LOG_FORMAT
from cli.stopping import stopped_by_signal


@click.group()
def ads() -> None:
    """The rows of all ads, in memory that this machine's servers share."""


@ads.command()
def keep() -> None:
    """Fills the table and keeps it as the stores are, until it is stopped; one process a machine."""
    from serving.ads.keep import keep as keep_table

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    asyncio.run(keep_table(load_settings(), SystemClock(), stopped_by_signal()))
