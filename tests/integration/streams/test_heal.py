"""What ran goes on without a person, whatever dies: the whole platform, a checkpoint; and state is kept."""

from __future__ import annotations

import itertools
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from adfeast.contract.events import EVENT_ID, EVENT_TIME
from adfeast.contract.rows import Layout
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply, open_store
from infra.local.platform.platform import Platform
from streaming.checkpoints import METADATA, JobState
from streaming.errors import StreamingError
from streaming.flink_rest import FlinkRest, Job
from streaming.marks import advance
from streaming.names import ARCHIVE, features_job
from streaming.plan import make_plan
from streaming.progress import wait_archived, wait_features
from streaming.running import running
from streaming.status import read_status
from streaming.submit import submit
from tests.parity.generated import START, stream
from tests.parity.naive import emissions
from tests.parity.stream_side import PARTS, StreamSide, stream_side

HOUR = 3_600_000
HEALED_S = 120.0  # twice what is promised: other tests may run beside
rounds = itertools.count()


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamSide]:
    with stream_side(tmp_path_factory.mktemp("heal"), quick=False, left_out=[1]) as running:
        running.platform.start("redis_writer")
        running.platform.start("reconciler")
        yield running


class Story:
    """Events before and after something dies, an hour of event time or more after those of every other story."""

    def __init__(self, side: StreamSide) -> None:
        self.side, self.n = side, next(rounds)
        self.keys = {v["join_key"]: 3 for v in side.plan["views"]}
        begin = START + 100 * HOUR * (1 + self.n)
        self.arrivals = {
            topic: stream(codec.columns, self.keys, 60, 7 + self.n, begin, f"story{self.n}-{topic}")
            for topic, codec in side.codecs.items()
        }
        self.sent = 0

    def send(self, count: int) -> None:
        """The next events of each topic."""
        for topic, events in self.arrivals.items():
            self.side.send(topic, events[self.sent : self.sent + count])
        self.sent += count

    def check(self) -> None:
        """Every online value equals the naive twin's, every event is archived once for each time it was sent."""
        self.send(1_000)
        end = max(e[EVENT_TIME] for events in self.arrivals.values() for e in events)
        # A partition long silent holds no watermark back: what the mark of another overtakes would be late.
        wait_features(self.side.settings, 120, redis=False)
        advance(self.side.settings, self.side.plan, end)
        wait_features(self.side.settings, 120)
        wait_archived(self.side.settings, [*self.side.codecs], 60)
        definitions = load_definitions(self.side.settings)
        for view in (v for v in definitions.views.values() if v.kind == "stream"):
            expected, _ = emissions(view, self.arrivals[view.topic], set(), end)
            last = {e.key: dict(e.values) for e in expected}
            assert self.online(view, sorted(last)) == last
        for topic, events in self.arrivals.items():
            files = f"{self.side.plan['lake'][topic]}/*/*.parquet"
            mine = f"{EVENT_ID} LIKE 'story{self.n}-%'"
            archived = duckdb.sql(f"SELECT {EVENT_ID} FROM read_parquet('{files}') WHERE {mine}").fetchall()
            assert Counter(i for (i,) in archived) == Counter(e[EVENT_ID] for e in events)

    def online(self, view: Any, keys: list[str]) -> dict[str, dict[str, Any]]:
        features = [f"{view.name}:{f.name}" for f in view.features]
        rows = (
            open_store(self.side.settings).get_online_features(features, [{view.join_key: k} for k in keys]).to_dict()
        )
        return {k: {f.name: rows[f.name][i] for f in view.features} for i, k in enumerate(rows[view.join_key])}


def jobs(side: StreamSide) -> dict[str, list[Job]]:
    return running(side.settings.project, FlinkRest(side.settings.flink_rest))


def healed(side: StreamSide) -> None:
    """Waits until everything runs as planned again."""
    begun = time.monotonic()
    while True:
        try:
            if read_status(side.plan, side.settings).as_planned:
                return
        except StreamingError:
            pass  # it is just what is being waited for
        assert time.monotonic() < begun + HEALED_S, side.platform.log("reconciler", 60)
        time.sleep(0.5)


def kept(side: StreamSide) -> None:
    """Waits until every job has completed a checkpoint."""
    rest = FlinkRest(side.settings.flink_rest)
    until = time.monotonic() + 60
    while not all(rest.completed_checkpoint(job.id) for found in jobs(side).values() for job in found):
        assert time.monotonic() < until
        time.sleep(0.2)


def restored(side: StreamSide) -> set[str]:
    """The jobs that went on from state."""
    rest = FlinkRest(side.settings.flink_rest)
    return {name for name, found in jobs(side).items() for job in found if rest.restored(job.id)}


def test_a_changed_view_is_built_beside_its_running_job_and_nothing_is_written_twice(
    side: StreamSide, tmp_path: Path
) -> None:
    story = Story(side)
    story.send(30)
    wait_features(side.settings)
    view = side.plan["views"][0]
    job, before = features_job(view["name"]), jobs(side)
    rest, until = FlinkRest(side.settings.flink_rest), time.monotonic() + 90
    while rest.watermark(before[job][0].id) is None:  # a partition without events and marks has none until it is idle
        assert time.monotonic() < until, "the running job has no watermark"
        time.sleep(0.5)
    repo = tmp_path / "feature_repo"
    shutil.copytree(side.settings.feature_repo, repo, ignore=shutil.ignore_patterns("__pycache__"))
    file = repo / "stream_views.py"
    head, _, tail = file.read_text().partition(f"{view['name']} = stream_view(")
    line = 'windowed("more", "count", "event_id", minutes(15), seconds(30)),'
    tail = tail.replace("    features=[", f"    features=[\n        {line}", 1)
    file.write_text(f"{head}{view['name']} = stream_view({tail}")
    apply(side.settings.model_copy(update={"feature_repo": repo}))
    side.definitions = load_definitions(side.settings)
    side.plan = make_plan(side.definitions, side.settings)
    both, until = False, time.monotonic() + 120
    while not both or not read_status(side.plan, side.settings).as_planned:
        both = both or len(jobs(side).get(job, [])) == 2
        assert time.monotonic() < until, side.platform.log("reconciler", 60)
        time.sleep(0.2)
    after = jobs(side)
    assert {n: found for n, found in after.items() if n not in (job, ARCHIVE)} == {
        n: found for n, found in before.items() if n not in (job, ARCHIVE)
    }, "another view's job was touched"
    [new] = after[job]
    state = JobState(side.settings, side.settings.checkpoints, job)
    former, until = before[job][0], time.monotonic() + 20
    while state.kept(former.digest, former.lineage):
        assert time.monotonic() < until, "what the former job left is still there"
        time.sleep(0.2)
    kept_plan = state.kept(new.digest, new.lineage)
    assert kept_plan
    begin_ms = kept_plan["jobs"][job]["start"]["from_ms"]
    assert begin_ms > START
    layout = Layout.of(side.definitions.views[view["name"]])
    rows = [(m.key(), *layout.decode(m.value())) for m in side.read(view["output"]) if m.value()[:9] == layout.head]
    written = [(key, ms) for key, ms, values in rows if values]
    assert min(ms for _, ms in written) >= begin_ms, "history was written again"
    assert len(written) == len({key for key, _ in written}), "more than the values of each key at the switch"
    story.check()


def test_what_has_lost_its_checkpoint_or_cannot_read_it_is_built_again_and_the_archive_goes_on_where_it_committed(
    side: StreamSide,
) -> None:
    # Before anything else is restarted: the TaskManager has had these jobs from the JobManager that dies.
    story = Story(side)
    story.send(30)
    wait_features(side.settings)
    wait_archived(side.settings, [*side.codecs])
    kept(side)
    lost, unreadable = (features_job(view["name"]) for view in side.plan["views"][:2])
    side.platform.stop("reconciler")
    side.platform.kill("flink_jobmanager")
    side.platform.wait("flink_jobmanager")
    state = JobState(side.settings, side.settings.checkpoints, unreadable)
    newest = state.newest()
    assert newest
    damaged = Path(newest.path.removeprefix("file://")) / METADATA
    for job in (lost, unreadable, ARCHIVE):
        folder = Path(JobState(side.settings, side.settings.checkpoints, job).url.removeprefix("file://"))
        for file in folder.rglob(METADATA):
            if file != damaged:
                file.unlink()  # of the unreadable too: the job would rightly go on from an older one
    damaged.write_bytes(damaged.read_bytes()[:100])  # its head is as it was
    side.platform.start("reconciler")
    healed(side)
    assert restored(side) == set(side.plan["jobs"]) - {lost, unreadable, ARCHIVE}
    said = side.platform.log("reconciler", 1000)
    assert "has lost its state" in said
    assert "which is set aside" in said
    story.check()


def test_what_ran_before_down_runs_after_up(side: StreamSide) -> None:
    story = Story(side)
    story.send(30)
    wait_features(side.settings)
    kept(side)
    assert side.platform.down() == []
    side.platform = Platform(side.platform.home.root, PARTS)
    side.platform.up()
    assert {s.part.name for s in side.platform.status() if s.state == "ready" and s.part.app} == {
        "redis_writer",
        "reconciler",
    }
    healed(side)
    assert restored(side) == set(side.plan["jobs"])
    story.check()


def test_parallelism_and_state_backend_change_and_the_state_is_kept(side: StreamSide) -> None:
    story, rest = Story(side), FlinkRest(side.settings.flink_rest)
    side.platform.stop("reconciler")
    disk = side.settings.model_copy(update={"stream_state_backend": "rocksdb"})
    plan = make_plan(side.definitions, disk, parallelism=2)
    story.send(24)
    wait_features(side.settings)
    assert {(a.job, a.what) for a in submit(plan, side.settings)} == {(job, "restored") for job in plan["jobs"]}
    assert restored(side) == set(plan["jobs"])
    for found in jobs(side).values():
        for job in found:
            assert "RocksDB" in str(rest.ask(f"/jobs/{job.id}/checkpoints/config"))
    story.send(12)
    wait_features(side.settings)
    kept(side)
    side.platform.kill("flink_jobmanager")
    side.platform.wait("flink_jobmanager")
    # Only RocksDB reads its own checkpoints: it goes on from them to make a savepoint, which the heap reads.
    whats = Counter((a.job, a.what) for a in submit(side.plan, side.settings))
    assert whats == {(job, "restored"): 2 for job in side.plan["jobs"]}
    story.check()
