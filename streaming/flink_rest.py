"""The few calls of Flink's REST interface that submitting and waiting need."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from streaming.errors import StreamingError

ALIVE = ("INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "FAILING")
_NO_WATERMARK = -(1 << 63)


@dataclass(frozen=True)
class Job:
    """A job of the cluster; `name`, `digest`, `tuning` and `lineage` are the parts of its Flink name (names.py)."""

    id: str
    name: str
    digest: str
    tuning: str
    lineage: int
    state: str
    tasks: int
    running: int

    @property
    def alive(self) -> bool:
        """Whether it runs or tries to."""
        return self.state in ALIVE

    @property
    def ready(self) -> bool:
        """Whether all its tasks run."""
        return self.state == "RUNNING" and self.running == self.tasks


class FlinkRest:
    """One cluster.

    Args:
        url: address of the JobManager's REST interface.
    """

    def __init__(self, url: str, timeout_s: float = 20.0) -> None:
        self.url, self.timeout_s = url.rstrip("/"), timeout_s

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Raises: StreamingError: the cluster does not answer, or refuses."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 (an http address of the settings)
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:  # noqa: S310
                text = answer.read()
            return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            raise StreamingError(f"Flink refused {path}: {error.read().decode(errors='replace')[:500]}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:  # it may end in the middle of an answer
            raise StreamingError(f"Flink does not answer at {self.url}: {error}; is the platform up?") from error

    def jobs(self) -> list[Job]:
        """All jobs the cluster remembers, newest first."""
        found = sorted(self.ask("/jobs/overview")["jobs"], key=lambda j: -j["start-time"])
        jobs = []
        for j in found:
            name, _, rest = j["name"].partition("@")
            digest, tuning, lineage = [*rest.split("."), "", ""][:3]
            tasks = j["tasks"]
            jobs.append(
                Job(j["jid"], name, digest, tuning, int(lineage or 0), j["state"], tasks["total"], tasks["running"])
            )
        return jobs

    def alive(self, name: str) -> Job | None:
        """The job of this name that runs or tries to; the newest, if a rebuilt one runs beside a former one."""
        return next((j for j in self.jobs() if j.name == name and j.alive), None)

    def incarnation(self) -> str:
        """What tells one start of the JobManager from another: the random name of the folder it made for its web."""
        found = {entry["key"]: entry["value"] for entry in self.ask("/jobmanager/config")}
        return str(found["web.tmpdir"])

    def ended(self, name: str) -> list[str]:
        """Ids of the jobs of this name that the cluster remembers and that are over."""
        return sorted(j.id for j in self.jobs() if j.name == name and not j.alive)

    def completed_checkpoint(self, job: str) -> tuple[str, int] | None:
        """(path, trigger time in milliseconds) of the job's last completed checkpoint."""
        latest = self.ask(f"/jobs/{job}/checkpoints")["latest"]["completed"]
        return (latest["external_path"], latest["trigger_timestamp"]) if latest else None

    def restored(self, job: str) -> str | None:
        """Path of the state that a job began from, or began again from, last."""
        latest = self.ask(f"/jobs/{job}/checkpoints")["latest"]["restored"]
        return str(latest["external_path"]) if latest and latest.get("external_path") else None

    def watermark(self, job: str) -> int | None:
        """The smallest watermark that any of the job's tasks was given; None while one has none."""
        found = []
        for vertex in self.ask(f"/jobs/{job}")["vertices"]:
            told = self.ask(f"/jobs/{job}/vertices/{vertex['id']}/watermarks")
            found += [int(float(w["value"])) if "E" in w["value"] else int(w["value"]) for w in told]
        return min(found) if found and min(found) > _NO_WATERMARK else None

    def problem(self, job: str) -> str:
        """The last exception of a job with its stack, which may be over; empty when there was none."""
        entries = self.ask(f"/jobs/{job}/exceptions?maxExceptions=1")["exceptionHistory"]["entries"]
        return str(entries[0]["stacktrace"]) if entries else ""

    def cancel(self, job: str, deadline_s: float = 60.0) -> None:
        """Cancels a job and waits until it is gone; its last checkpoint is retained."""
        self.ask(f"/jobs/{job}", method="PATCH")
        self._until_gone(job, deadline_s)

    def stop(self, job: str, folder: str, deadline_s: float = 60.0) -> str:
        """Stops a job with a savepoint below `folder`, everything committed, and returns the savepoint's path.

        Its checkpoints are gone afterwards.

        Raises:
            StreamingError: the savepoint failed; the job goes on.
        """
        trigger = self.ask(f"/jobs/{job}/stop", {"drain": False, "targetDirectory": folder})["request-id"]
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            status = self.ask(f"/jobs/{job}/savepoints/{trigger}")
            if status["status"]["id"] == "COMPLETED":
                operation = status["operation"]
                if "location" not in operation:
                    raise StreamingError(f"job {job} could not be stopped: {str(operation)[:500]}")
                self._until_gone(job, deadline_s)
                return str(operation["location"])
            time.sleep(0.1)
        raise StreamingError(f"job {job} did not stop within {deadline_s:.0f} s")

    def _until_gone(self, job: str, deadline_s: float) -> None:
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            if self.ask(f"/jobs/{job}")["state"] in ("CANCELED", "FINISHED", "FAILED"):
                return
            time.sleep(0.1)
        raise StreamingError(f"job {job} did not end within {deadline_s:.0f} s")
