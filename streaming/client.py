"""The program in the Flink environment that plans the jobs' SQL and starts them when it is told to (jobs/start.py)."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from adfeast.settings import ROOT, Settings
from streaming.errors import SubmitFailed
from streaming.jobs import PLANNED, STARTED
from streaming.plan import Plan

LOG_CHARACTERS = 4000


@dataclass(frozen=True)
class Start:
    """A job to start: from a checkpoint or savepoint, or from nothing; `id` is Flink's, which it accepts once."""

    plan: Plan
    job: str
    restore: str | None
    id: str


class Client:
    """A running client; unless it is told to start something it ends with the block, or with us.

    Args:
        planned: these jobs' SQL is planned before the block begins.

    Raises:
        SubmitFailed: at the beginning of the block: the SQL cannot be planned; nothing was touched.
    """

    def __init__(self, plan: Plan, planned: list[str], settings: Settings) -> None:
        self._state = settings.local / "state" / "streaming"
        self._state.mkdir(parents=True, exist_ok=True)
        self._log = self._state / "client.log"
        self._request = self._state / "submit.json"
        self._password = settings.kafka_password.get_secret_value() if settings.kafka_password else ""
        self._request.write_text(json.dumps([{"plan": plan, "job": job} for job in planned], indent=1))

    def __enter__(self) -> Self:
        # The client plans the SQL, so it needs the connectors of the cluster; this variable is Flink's way to add them.
        # It is over before the optimizing compiler has paid for itself.
        java = f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} -XX:TieredStopAtLevel=1".strip()
        environment = os.environ | {
            "HADOOP_CLASSPATH": f"{ROOT}/.local/jars/flink/*",
            "FLINK_LOG_DIR": str(self._state),
            "JAVA_TOOL_OPTIONS": java,
        }
        python = ROOT / ".local" / "env" / "flink" / "bin" / "python"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(python), "-m", "streaming.jobs.start", str(self._request)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=ROOT,
            )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            if line.strip() == PLANNED:
                return self
            said.append(line)
        self._process.wait()
        raise SubmitFailed(f"the stream jobs cannot be planned; what runs goes on:\n{self._told(said)}")

    def start(self, starts: list[Start]) -> dict[str, str]:
        """Returns when the cluster was asked for each; the ids of those that it did not accept, with the reason."""
        asked = [asdict(s) | {"kafka_password": self._password} for s in starts]
        said, _ = self._process.communicate(json.dumps(asked) + "\n")
        accepted = {line.removeprefix(STARTED) for line in said.splitlines() if line.startswith(STARTED)}
        reason = "" if not self._process.returncode else self._told([said])
        return {s.id: reason for s in starts if s.id not in accepted}

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.communicate("")

    def _told(self, said: list[str]) -> str:
        lines = "".join(said).splitlines() + self._log.read_text(errors="replace").splitlines()
        # A hundred frames of the planner follow each cause.
        return "\n".join(line for line in lines if not line.startswith("\tat "))[-LOG_CHARACTERS:]
