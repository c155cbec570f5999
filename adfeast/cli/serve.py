"""`adfeast serve`: the prediction server."""

from __future__ import annotations

import logging

import click

from adfeast.cli import LOG_FORMAT
from adfeast.settings import load_settings


@click.command()
def serve() -> None:
    """Answers Predict, LogImpression and LogClick until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    from serving.server import main

    main(load_settings())
