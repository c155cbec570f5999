"""Commands answer people in lines and programs in one object, and their exit code says what may be tried again."""

import json

import click
import pytest
from click.testing import CliRunner

from adfeast.errors import AdfeastError
from adfeast.ledger import RunInProgress
from cli.answer import Answer, answers
from cli.exit_codes import FAILED, WAITS
from registry.errors import DeployFailed, ModelInUse


def command(error: AdfeastError | None = None) -> click.Command:
    @click.command()
    @click.option("--n", default=1)
    @answers
    def run(n: int) -> Answer:
        """Do it."""
        if error:
            raise error
        return Answer({"n": n}, ["first", f"n is {n}"])

    return run


def test_the_same_answer_comes_as_lines_or_as_one_object() -> None:
    assert CliRunner().invoke(command(), ["--n", "2"]).output == "first\nn is 2\n"
    assert json.loads(CliRunner().invoke(command(), ["--n", "2", "--json"]).stdout) == {"n": 2}


@pytest.mark.parametrize(
    ("error", "code"), [(DeployFailed("x"), FAILED), (RunInProgress("x"), WAITS), (ModelInUse("x"), WAITS)]
)
def test_an_error_has_its_exit_code_and_is_an_object_too(error: AdfeastError, code: int) -> None:
    said = CliRunner().invoke(command(error), [])
    assert (said.exit_code, said.stdout, said.stderr) == (code, "", "Error: x\n")
    said = CliRunner().invoke(command(error), ["--json"])
    assert (said.exit_code, said.stderr) == (code, "")
    assert json.loads(said.stdout) == {"error": type(error).__name__, "message": "x"}


def test_the_help_says_the_exit_codes() -> None:
    assert "3  waits or is refused for now" in CliRunner().invoke(command(), ["--help"]).output
