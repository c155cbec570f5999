"""What a command says: text for people, or with `--json` one JSON object on stdout and nothing else there."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import click

from adfeast.errors import AdfeastError
from cli import exit_codes

C = TypeVar("C", bound=Callable[..., Any])
TALKATIVE = ("feast", "great_expectations", "py4j", "botocore", "urllib3")


def as_json(command: C) -> C:
    """Adds `--json` to a command, as its parameter `json_`."""
    return click.option("--json", "json_", is_flag=True, help="Print one JSON object on stdout.")(command)


def be_quiet() -> None:
    """Only what an operator can act on reaches stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def say(json_: bool, facts: Mapping[str, Any], text: str) -> None:
    """Prints the one or the other."""
    click.echo(json.dumps(facts, default=_plain) if json_ else text)


@contextmanager
def answering(json_: bool, *refused: type[AdfeastError]) -> Iterator[None]:
    """Ends the command with its code when an error is raised in the block; of `refused` ones it is `WAITS`."""
    try:
        yield
    except AdfeastError as error:
        if json_:
            say(True, {"error": {"type": type(error).__name__, "message": str(error)}}, "")
        else:
            click.echo(f"Error: {error}", err=True)
        sys.exit(exit_codes.WAITS if isinstance(error, refused) else exit_codes.FAILED)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
