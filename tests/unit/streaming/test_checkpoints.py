"""What a job wrote last is found again, with the plan that made it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adfeast.settings import Settings
from streaming.checkpoints import Retained, keep_plan, kept_plan, newest
from streaming.errors import StreamingError
from streaming.plan import ARCHIVE, make_plan
from tests.unit.streaming.jobs.test_sql import definitions


def state(folder: Path, path: str, age: int) -> None:
    file = folder / path / "_metadata"
    file.parent.mkdir(parents=True)
    file.touch()
    os.utime(file, (1_000 - age, 1_000 - age))


def test_the_newest_state_of_any_plan_or_of_one(tmp_path: Path) -> None:
    settings = Settings(local=tmp_path, registry_url=f"sqlite:///{tmp_path}/r.db")
    plan = make_plan(definitions(), settings)
    folder = tmp_path / "state" / "streaming" / ARCHIVE
    assert newest(plan, ARCHIVE) is None
    state(folder, "aa/job1/chk-7", 30)
    state(folder, "bb/job2/chk-2", 20)
    state(folder, "bb/savepoints/savepoint-1", 10)
    assert newest(plan, ARCHIVE) == Retained(f"file://{folder}/bb/savepoints/savepoint-1", "bb")
    assert newest(plan, ARCHIVE, "aa") == Retained(f"file://{folder}/aa/job1/chk-7", "aa")
    keep_plan(plan, ARCHIVE)
    assert kept_plan(plan, ARCHIVE, plan["jobs"][ARCHIVE]["digest"]) == plan
    assert kept_plan(plan, ARCHIVE, "bb") is None
    with pytest.raises(StreamingError, match="s3://bucket"):
        newest(plan | {"checkpoints": "s3://bucket"}, ARCHIVE)
