"""What the jobs left is found on S3 as it is in a folder."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from adfeast.lake import filesystem
from adfeast.settings import Settings
from infra.local.parts.s3 import BUCKET
from infra.local.platform.platform import Platform
from streaming.checkpoints import JobState, Retained, read_files
from streaming.names import ARCHIVE
from streaming.plan import make_plan, started
from tests.unit.streaming.jobs.test_sql import definitions


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with Platform(tmp_path / "home", parts=["s3"]) as platform:
        yield platform.settings.model_copy(update={"stream_checkpoints": f"s3://{BUCKET}/streams"})


def test_state_on_s3_is_kept_found_set_aside_and_forgotten(settings: Settings) -> None:
    plan = started(make_plan(definitions(), settings), ARCHIVE, {"lineage": 5, "timestamp_ms": 0, "from_ms": 0})
    digest = plan["jobs"][ARCHIVE]["digest"]
    state = JobState(settings, settings.checkpoints, ARCHIVE)
    assert state.newest() is None
    assert not state.known()
    state.keep(plan, ARCHIVE)
    assert state.kept(digest, 5) == plan
    assert state.kept(digest, 6) is None
    fs, root = filesystem(settings, state.url)
    found = []
    for number, place in ((8, "savepoints/savepoint-a"), (7, "job/chk-7")):
        with fs.open_output_stream(f"{root}/{digest}/5/{place}/_metadata") as file:
            file.write(struct.pack(">iiq", 0x4960672D, 6, number))
        found.append(Retained(f"s3://{BUCKET}/streams/{ARCHIVE}/{digest}/5/{place}", digest, 5, number))
    assert state.newest() == found[0]
    assert read_files(settings, found[0].path) == [struct.pack(">iiq", 0x4960672D, 6, 8)]
    state.set_aside(found[0])
    assert state.newest() == found[1]
    state.forget(digest)
    assert state.newest() is None
    assert state.newest_lineage() == 0
