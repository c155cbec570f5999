"""How a command answers: lines for people, or with --json one object for programs, and the exit code of its error."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ParamSpec

import click

from adfeast.errors import AdfeastError
from cli.exit_codes import DONE, HELP, exit_code

P = ParamSpec("P")


@dataclass(frozen=True)
class Answer:
    """What a command found: the same as an object and as lines of text; and how it ends."""

    data: Mapping[str, Any]
    lines: Iterable[str]
    code: int = DONE


def answers(command: Callable[P, Answer]) -> Callable[P, None]:
    """Gives a command the option --json and the exit codes of `cli.exit_codes`; both stand in its help."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = kwargs.pop("as_json")
        try:
            answer = command(*args, **kwargs)
        except AdfeastError as error:
            if as_json:
                click.echo(json.dumps({"error": type(error).__name__, "message": str(error)}))
            else:
                click.echo(f"Error: {error}", err=True)
            sys.exit(exit_code(error))
        if as_json:
            click.echo(json.dumps(answer.data, default=_plain))
        else:
            for line in answer.lines:
                click.echo(line)
        if answer.code:
            sys.exit(answer.code)

    run.__doc__ = f"{command.__doc__}\n\n{HELP}"
    return run


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
