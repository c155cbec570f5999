"""`adfeast serve`: the prediction server."""

from __future__ import annotations

import logging

import click

from adfeast.settings import load_settings
from cli import LOG_FORMAT


@click.command()
def serve() -> None:
    """Answers Predict, LogImpression and LogClick until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    from serving.app import main

    main(load_settings())
