"""What a job wrote last is found again, with the plan that made it, in a folder and on S3."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from adfeast.settings import Settings
from streaming.checkpoints import JobState, Retained, read_files
from streaming.names import ARCHIVE
from streaming.plan import make_plan, started
from tests.unit.streaming.jobs.test_sql import definitions


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(local=tmp_path, registry_url=f"sqlite:///{tmp_path}/r.db")


def head(number: int) -> bytes:
    """How the `_metadata` of a checkpoint begins."""
    return struct.pack(">iiq", 0x4960672D, 6, number) + b"state"


def write(folder: Path, path: str, content: bytes, age: int) -> str:
    file = folder / path / "_metadata"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    os.utime(file, (1_000 - age, 1_000 - age))
    return f"file://{file.parent}"


def test_the_newest_is_told_by_lineage_and_number_whatever_the_times_of_the_files_say(settings: Settings) -> None:
    folder = settings.local / "state" / "streaming" / ARCHIVE
    state = JobState(settings, settings.checkpoints, ARCHIVE)
    assert state.newest() is None
    write(folder, "aa/100/job0/chk-900", head(900), 0)  # copied back, so its file is the newest
    chk = write(folder, "aa/200/job1/chk-7", head(7), 5)
    savepoint = write(folder, "aa/200/savepoints/savepoint-1", head(8), 10)  # taken after it
    assert state.newest() == Retained(savepoint, "aa", 200, 8)
    later = write(folder, "bb/200/job2/chk-11", head(11), 20)
    assert state.newest() == Retained(later, "bb", 200, 11)
    assert state.newest("aa") == state.newest(but="bb") == Retained(savepoint, "aa", 200, 8)
    assert state.newest_lineage() == 200
    state.set_aside(Retained(savepoint.replace("file://", "file:"), "aa", 200, 8))
    assert state.newest("aa") == Retained(chk, "aa", 200, 7)
    state.forget("bb")
    assert state.newest() == Retained(chk, "aa", 200, 7)


@pytest.mark.parametrize("content", [b"", head(9)[:12], b"\0" * 40])
def test_what_was_not_written_to_its_end_is_no_state(settings: Settings, content: bytes) -> None:
    folder = settings.local / "state" / "streaming" / ARCHIVE
    whole = write(folder, "aa/200/job1/chk-7", head(7), 30)
    write(folder, "aa/200/job1/chk-8", content, 10)
    assert JobState(settings, settings.checkpoints, ARCHIVE).newest() == Retained(whole, "aa", 200, 7)


def test_a_plan_is_kept_with_how_its_job_began(settings: Settings) -> None:
    state = JobState(settings, settings.checkpoints, ARCHIVE)
    plan = started(make_plan(definitions(), settings), ARCHIVE, {"lineage": 200, "timestamp_ms": 1, "from_ms": 2})
    assert not state.known()
    state.keep(plan, ARCHIVE)
    assert state.known()
    assert state.kept(plan["jobs"][ARCHIVE]["digest"], 200) == plan
    assert state.kept("bb", 200) is None
    assert state.newest_lineage() == 200


def test_the_files_of_a_savepoint_are_read_however_flink_writes_its_path(settings: Settings, tmp_path: Path) -> None:
    write(tmp_path, "savepoint-1", head(1), 0)
    for path in (f"file:{tmp_path}/savepoint-1", f"file://{tmp_path}/savepoint-1"):
        assert read_files(settings, path) == [head(1)]
