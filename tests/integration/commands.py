"""Runs `adfeast ...`: as a process of its own, as a person does, or quicker in this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from adfeast.settings import ROOT
from cli.main import main

PROGRAM = str(Path(sys.executable).with_name("adfeast"))


def alone(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a process: seconds of a core, most of them imports."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def here(*arguments: object) -> tuple[int, str, str]:
    """The same in this process, whose libraries are imported and whose Spark runs; what these say is not seen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cli.batch.be_quiet", lambda: None)  # it is for a process that ends soon
        done = CliRunner().invoke(main, [*map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr
