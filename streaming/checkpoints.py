"""Where the state of the jobs lies between two runs: `<checkpoints>/<job>/<digest of the plan>/...`.

Beside the state of a digest lies the plan that made it, so that a job which ended anyhow can be taken up again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from streaming.errors import StreamingError
from streaming.plan import Plan


@dataclass(frozen=True)
class Retained:
    """A checkpoint or savepoint: `path` as Flink takes it, `digest` of the plan that made it."""

    path: str
    digest: str


def keep_plan(plan: Plan, job: str) -> None:
    """Call before a job starts, so that whatever state it leaves can be told."""
    file = _plan_file(plan, job, plan["jobs"][job]["digest"])
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(".new")
    written.write_text(json.dumps(plan))
    written.replace(file)


def kept_plan(plan: Plan, job: str, digest: str) -> Plan | None:
    """The plan of a digest that ran here."""
    file = _plan_file(plan, job, digest)
    found: Plan | None = json.loads(file.read_text()) if file.exists() else None
    return found


def newest(plan: Plan, job: str, digest: str = "*") -> Retained | None:
    """What a job wrote last, of one plan or of any; savepoints too."""
    folder = _folder(plan, job)
    patterns = (f"{digest}/*/chk-*/_metadata", f"{digest}/savepoints/*/_metadata")
    found = [file for pattern in patterns for file in folder.glob(pattern)]
    if not found:
        return None
    last = max(found, key=lambda file: file.stat().st_mtime_ns)
    return Retained(f"file://{last.parent}", last.relative_to(folder).parts[0])


def savepoints(plan: Plan, job: str, digest: str) -> str:
    """Where the savepoints of a digest go, as Flink takes it."""
    return f"{plan['checkpoints']}/{job}/{digest}/savepoints"


def _plan_file(plan: Plan, job: str, digest: str) -> Path:
    return _folder(plan, job) / digest / "plan.json"


def _folder(plan: Plan, job: str) -> Path:
    place: str = plan["checkpoints"]
    if not place.startswith("file://"):
        raise StreamingError(f"checkpoints must lie in a folder of this machine, not at {place!r}")
    return Path(place.removeprefix("file://")) / job
