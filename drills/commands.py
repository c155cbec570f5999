"""Runs commands as a person or a scheduler would, and kills some of them on the way to run them again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drills.errors import CommandFailed

WAITS = 3  # the exit code of a command whose input is not there yet; see `adfeast batch --help`
GIVE_UP_S = 600.0
NICE = 5  # the auction goes first: a scheduler's machine is another one


@dataclass
class Commands:
    """One deployment's command lines.

    Attributes:
        killed: how often each command was killed.
        log: what was run, how it ended and how long it took.
    """

    repo: Path
    environment: dict[str, str]
    dice: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)

    def feast_apply(self, *, kill: bool = False, refused: bool = False) -> str:
        """`feast apply` in the repository's folder; its output."""
        return self._run("feast", ["apply"], kill=kill, refused=refused)

    def adfeast(self, *arguments: str, kill: bool = False, refused: bool = False) -> Any:
        """`adfeast ... --json`; what it answers. One that says that it waits is run again."""
        return json.loads(self._run("adfeast", [*arguments, "--json"], kill=kill, refused=refused) or "null")

    def _run(self, program: str, arguments: list[str], *, kill: bool, refused: bool) -> str:
        name = " ".join([program, *arguments[:2]])
        if kill:
            process = self._start(program, arguments)
            try:
                process.wait(self.dice.uniform(0.5, 6.0))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                self.killed[name] += 1
            process.communicate()
        give_up = time.monotonic() + GIVE_UP_S
        while True:
            begun = time.monotonic()
            process = self._start(program, arguments)
            out, error = process.communicate(timeout=GIVE_UP_S)
            self.log.append(f"{name}: {process.returncode} after {time.monotonic() - begun:.1f} s")
            if refused and process.returncode not in (0, WAITS):
                return str(out + error)
            if process.returncode == 0 and not refused:
                return str(out)
            if process.returncode != WAITS or time.monotonic() > give_up:
                raise CommandFailed(f"{name} ended with {process.returncode}: {(error or out)[-3000:]}")
            time.sleep(2.0)

    def _start(self, program: str, arguments: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["nice", "-n", str(NICE), str(Path(sys.prefix) / "bin" / program), *arguments],
            cwd=self.repo,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
