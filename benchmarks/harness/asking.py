"""The auctions of a drill as it sees them: starts the process that holds them, and reads what it writes down."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from benchmarks.harness.auctions import Asked, Plan

END_S = 20.0


class Asking:
    """A running client; used in a `with` block, at the end of which it has stopped.

    Attributes:
        asked: every auction whose end is known, in the order of the ends; `read` adds to it.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.asked = plan, list[Asked]()
        self._file: TextIO | None = None
        self._rest = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        out = Path(self.plan.out)
        out.write_text("")  # a former client may have written there
        told = out.with_suffix(".plan")
        told.write_text(json.dumps(asdict(self.plan)))
        self._file = out.open()
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.harness.auctions", str(told)]
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process is not None
        assert self._file is not None
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.read()
        self._file.close()

    def read(self) -> list[Asked]:
        """All that is known now."""
        assert self._file is not None
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        self.asked += [Asked(*json.loads(line)) for line in lines]
        return self.asked

    def between(self, begin_s: float, end_s: float) -> list[Asked] | None:
        """Auctions that were due in a time, by number; None while the end of one of them is not known."""
        found = self.read()
        after = [a.number for a in found if a.due_s >= end_s]
        if not after:
            return None
        before = sorted((a for a in found if a.number < min(after)), key=lambda a: a.number)
        if len(before) < min(after):
            return None
        return [a for a in before if a.due_s >= begin_s]

    def last(self, seconds: float, now_s: float) -> list[Asked]:
        """Auctions that were due in the last seconds and whose end is known."""
        return [a for a in self.read() if a.due_s >= now_s - seconds]
