"""Who is forgotten is nowhere any more, whatever was killed on the way; everybody else is where they were."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adfeast.clock import to_datetime
from adfeast.feast_ext.online_layout import redis_key
from adfeast.ledger import LAKE, Ledger, RunInProgress
from infra.privacy import forget as forgetting
from infra.privacy import lake
from infra.privacy.errors import NoForgetKey, NotSettled
from infra.privacy.forget import Deployment, find, forget
from infra.privacy.record import Record, subject
from infra.privacy.waiting import horizon_ms, settled
from tests.unit.infra.privacy.small import KEY, LEAVES, PROJECT, STAYS, Small, make, rows, write

EVERYWHERE = {
    "lake events/clicks": 2,
    "lake events/snapshots": 1,
    "lake features/clicked": 1,
    "lake batch/view_of_old": 1,
    "lake tables/users": 1,
    "lake training_sets/n": 1,
    f"dynamodb {PROJECT}.profile": 1,
    "redis": 1,
}


class Killed(BaseException):
    """What no code of ours may catch."""


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return make(tmp_path)


def stands(small: Small) -> tuple[Any, ...]:
    """All that is stored, by content."""
    return small.users(), dict(small.redis.hashes), {t: dict(r) for t, r in small.dynamodb.tables.items()}


def few(folder: Path) -> Small:
    """With two of its files only, one of which has no other row."""
    small = make(folder)
    shutil.rmtree(small.lake)
    write(small.lake / "events/clicks/date=2026-03-01/part-1.parquet", rows(LEAVES, STAYS))
    write(small.lake / "training_sets/n/part-1.parquet", rows(LEAVES))
    return small


def over(small: Small) -> None:
    """Time in which nothing can come back any more has passed, and the streams have moved on."""
    small.clock.advance(horizon_ms(small.deployment.definitions, KEY))
    small.streams.ms = small.clock.ms


def test_a_user_is_deleted_in_every_place_and_nobody_else(small: Small) -> None:
    before = stands(small)
    assert find(small.deployment, LEAVES, small.clock).found == EVERYWHERE
    assert stands(small) == before, "a dry run changed something"
    assert forget(small.deployment, LEAVES, small.clock).found == EVERYWHERE
    users, hashes, tables = stands(small)
    assert users == {file: [u for u in held if u != LEAVES] for file, held in before[0].items()}
    assert (len(hashes), [len(r) for r in tables.values()]) == (1, [1])
    others = EVERYWHERE.keys() - {"lake features/clicked"}
    assert find(small.deployment, STAYS, small.clock).found.keys() == others


@pytest.mark.slow
def test_a_kill_at_any_point_is_made_good_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = few(tmp_path / "whole")
    forget(whole.deployment, LEAVES, whole.clock)
    left = [0]

    def deadly(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            answer = step(*args, **kwargs)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return answer

        return run

    for owner, name in ((lake, "_replace_file"), (lake, "_copy"), (lake.os, "replace"), (lake, "sweep")):
        monkeypatch.setattr(owner, name, deadly(getattr(owner, name)))
    for name in ("begin", "add", "end"):
        monkeypatch.setattr(Record, name, deadly(getattr(Record, name)))
    kills = 0
    for n in range(1, 200):
        left[0] = 0
        small = few(tmp_path / str(n))
        for store in small.deployment.stores:
            monkeypatch.setattr(store, "delete", deadly(store.delete))
        asked = small.clock.ms
        left[0] = n
        try:
            forget(small.deployment, LEAVES, small.clock)
        except Killed:
            kills += 1
        finished, left[0] = left[0] > 0, 0
        small.clock.advance(1000)
        again = forget(small.deployment, LEAVES, small.clock)
        assert stands(small) == stands(whole), f"after the kill at step {n}"
        assert again.request is not None
        assert again.request.asked_ms in ((asked,) if n > 3 else (asked, small.clock.ms)), "the request began anew"
        if finished:
            break
    assert kills > 25


def test_a_request_is_open_until_nothing_can_come_back(small: Small) -> None:
    first = forget(small.deployment, LEAVES, small.clock)
    assert first.request is not None
    assert first.request.done_ms is None
    assert "windows" in first.waits[0]
    # The archive finishes what was under way, and the stream job writes that a window has moved on.
    write(small.lake / "events/clicks/date=2026-03-01/part-3.parquet", rows(LEAVES))
    small.redis.hashes[redis_key(KEY, LEAVES, PROJECT)] = {b"f": b"0"}
    small.clock.advance(horizon_ms(small.deployment.definitions, KEY))
    second = forget(small.deployment, LEAVES, small.clock)
    assert second.found == {"lake events/clicks": 1, "redis": 1}
    assert {"the archive of 'clicks'", "the archive of 'snapshots'", "stream view 'clicked'"} == {
        w.split(" is needed")[0] for w in second.waits
    }
    small.streams.ms = small.clock.ms
    third = forget(small.deployment, LEAVES, small.clock)
    assert third.request is not None
    assert (third.waits, third.found, third.request.done_ms) == ((), {}, small.clock.ms)
    assert (third.request.asked_ms, third.request.passes) == (first.request.asked_ms, 3)
    assert third.request.rows == EVERYWHERE | {"lake events/clicks": 3, "redis": 2}


def test_what_is_done_stays_done_until_the_user_is_somewhere_again(small: Small) -> None:
    forget(small.deployment, LEAVES, small.clock)
    over(small)
    done = forget(small.deployment, LEAVES, small.clock)
    small.clock.advance(1)
    assert forget(small.deployment, LEAVES, small.clock) == find(small.deployment, LEAVES, small.clock) == done
    write(small.lake / "events/clicks/date=2026-03-02/part-1.parquet", rows(LEAVES))
    again = forget(small.deployment, LEAVES, small.clock)
    assert again.request is not None
    assert (again.request.asked_ms, again.found) == (small.clock.ms, {"lake events/clicks": 1})
    assert again.waits


def test_a_file_that_is_committed_meanwhile_is_neither_lost_nor_doubled(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, name = lake._copy, "events/clicks/date=2026-03-01/part-{}.parquet"
    seen: list[int] = []

    def meanwhile(*args: Any) -> int:
        seen.append(len(seen))
        write(small.lake / name.format(f"new-{len(seen)}"), rows(STAYS, LEAVES))
        return copy(*args)

    monkeypatch.setattr(lake, "_copy", meanwhile)
    forget(small.deployment, LEAVES, small.clock)
    monkeypatch.undo()
    assert {small.users()[name.format(f"new-{n + 1}")] == [STAYS, LEAVES] for n in seen} == {True}
    forget(small.deployment, LEAVES, small.clock)
    assert [small.users()[name.format(f"new-{n + 1}")] for n in seen] == [[STAYS]] * len(seen)


def test_the_record_names_nobody(small: Small, tmp_path: Path) -> None:
    forget(small.deployment, LEAVES, small.clock)
    written = b"".join(f.read_bytes() for f in tmp_path.glob("ledger.db*"))
    who = subject(small.deployment.settings, KEY, LEAVES)
    assert who.encode() in written
    assert LEAVES.encode() not in written
    other = small.deployment.settings.model_copy(update={"forget_key": None})
    with pytest.raises(NoForgetKey, match="forget_key"):
        subject(other, KEY, LEAVES)


def test_nothing_is_deleted_while_a_job_of_the_lake_is_at_work(small: Small) -> None:
    before, at = stands(small), to_datetime(small.clock.ms)
    ledger = Ledger(small.deployment.settings, small.clock)
    with ledger.claim("batch_view", "view", "d", at, at), pytest.raises(RunInProgress, match="batch_view of 'view'"):
        forget(small.deployment, LEAVES, small.clock)
    assert stands(small) == before


def test_no_job_of_the_lake_begins_while_a_user_is_deleted(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, at, tried = Ledger(small.deployment.settings, small.clock), to_datetime(small.clock.ms), []

    def job(*_: Any) -> None:
        with pytest.raises(RunInProgress, match=LAKE), ledger.claim("labels", "n", "d", at, at, apart=LAKE):
            pass
        tried.append(1)

    monkeypatch.setattr(forgetting.lake, "sweep", job)
    forget(small.deployment, LEAVES, small.clock)
    assert tried
    with ledger.claim("labels", "n", "d", at, at, apart=LAKE) as claim:
        assert claim is not None


def test_on_s3_no_file_is_changed_before_the_archive_has_moved_on(small: Small) -> None:
    bucket = small.deployment.settings.model_copy(update={"lake": "s3://lake"})
    waited: list[float] = []
    small.streams.ms = small.clock.ms - 1
    with pytest.raises(NotSettled, match="clicks, snapshots"):
        settled(bucket, small.deployment.definitions, small.streams, small.clock, waited.append)
    assert sum(waited) == 300

    def moves(_: float) -> None:
        small.streams.ms = small.clock.ms

    settled(bucket, small.deployment.definitions, small.streams, small.clock, moves)
    on_disk: Deployment = small.deployment
    settled(on_disk.settings, on_disk.definitions, small.streams, small.clock, pytest.fail)
