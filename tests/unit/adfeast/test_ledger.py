"""The run ledger: an interval is done once, by one process, and a dead or failed one is done again."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from adfeast.clock import ManualClock, to_ms
from adfeast.ledger import LAKE, LEASE, LeaseLost, Ledger, RunInProgress
from adfeast.settings import Settings

END = datetime(2019, 11, 29, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(ledger_url=f"sqlite:///{tmp_path}/ledger.db")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(to_ms(END + timedelta(hours=1)))


def test_a_done_interval_is_not_given_again(settings, clock):
    ledger = Ledger(settings, clock)
    with ledger.claim("job", "view", "d1", END - DAY, END) as claim:
        claim.rows = 42
    with ledger.claim("job", "view", "d1", END - DAY, END) as claim:
        assert claim is None
    [run] = ledger.runs()
    assert (run.status, run.rows, run.attempts, run.start, run.end) == ("done", 42, 1, END - DAY, END)


def test_a_failed_interval_keeps_its_error_and_is_given_again(settings, clock):
    ledger = Ledger(settings, clock)
    with pytest.raises(ZeroDivisionError), ledger.claim("job", "view", "d1", END - DAY, END):
        1 / 0  # noqa: B018
    [run] = ledger.runs()
    assert (run.status, run.error) == ("failed", "ZeroDivisionError: division by zero")
    with ledger.claim("job", "view", "d1", END - DAY, END) as claim:
        assert claim is not None
    [run] = ledger.runs()
    assert (run.status, run.error, run.attempts) == ("done", None, 2)


def test_of_many_at_once_one_gets_the_interval(settings, clock):
    started, given, refused = threading.Barrier(6), [], []

    def work():
        ledger = Ledger(settings, clock)
        started.wait()
        try:
            with ledger.claim("job", "view", "d1", END - DAY, END) as claim:
                given.append(claim)
                everybody_asked.wait(20)
        except RunInProgress as error:
            refused.append(str(error))
            if len(refused) == 5:
                everybody_asked.set()

    everybody_asked = threading.Event()
    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(given) == 1
    assert len(refused) == 5
    assert "job of 'view' until 2019-11-29" in refused[0]


def test_a_killed_process_leaves_its_interval_free(settings, clock):
    code = (
        "import os, signal, datetime as d; from adfeast.clock import ManualClock;"
        "from adfeast.settings import Settings;"
        "from adfeast.ledger import Ledger;"
        f"ledger = Ledger(Settings(ledger_url={settings.ledger_url!r}), ManualClock({clock.ms}));"
        f"end = d.datetime.fromisoformat({END.isoformat()!r});"
        "held = ledger.claim('job', 'view', 'd1', end - d.timedelta(1), end); held.__enter__();"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    ledger = Ledger(settings, clock)
    assert [r.status for r in ledger.runs()] == ["running"]
    with ledger.claim("job", "view", "d1", END - DAY, END) as claim:
        assert claim is not None
    assert [(r.status, r.attempts) for r in ledger.runs()] == [("done", 2)]


def test_a_lease_that_ran_out_is_free(settings, clock):
    holder = Ledger(settings, clock)
    stuck = holder.claim("job", "view", "d1", END - DAY, END)
    stuck.__enter__()
    other = Ledger(settings, clock)
    with pytest.raises(RunInProgress), other.claim("job", "view", "d1", END - DAY, END):
        pytest.fail("given twice")
    clock.advance(int(LEASE.total_seconds() * 1000) + 1)
    with other.claim("job", "view", "d1", END - DAY, END) as claim:
        assert claim is not None


def test_a_holder_who_lost_its_lease_publishes_nothing_and_ends_with_an_error(settings, clock):
    first, second = Ledger(settings, clock), Ledger(settings, clock)
    held = first.claim("job", "view", "d1", END - DAY, END)
    stuck = held.__enter__()
    stuck.check()
    clock.advance(int(LEASE.total_seconds() * 1000) + 1)
    with pytest.raises(LeaseLost, match="nothing was published"):
        stuck.check()
    with second.claim("job", "view", "d1", END - DAY, END) as claim:
        claim.rows = 7
    with pytest.raises(LeaseLost, match="taken over"):
        held.__exit__(None, None, None)
    assert [(r.status, r.rows, r.attempts) for r in first.runs()] == [("done", 7, 2)]


def test_another_digest_is_another_run_and_a_done_one_can_be_asked_for_again(settings, clock):
    ledger = Ledger(settings, clock)
    for digest, again, given in (("d1", False, True), ("d1", False, False), ("d2", False, True), ("d1", True, True)):
        with ledger.claim("job", "view", digest, END - DAY, END, again=again) as claim:
            assert (claim is not None) == given
    assert [(r.digest, r.attempts) for r in ledger.runs("job", "view")] == [("d1", 2), ("d2", 1)]


def test_a_skipped_interval_keeps_its_reason_and_is_not_given(settings, clock):
    ledger = Ledger(settings, clock)
    ledger.skip("job", "view", "d1", END - DAY, END, "the catalogue was wrong that day")
    with ledger.claim("job", "view", "d1", END - DAY, END) as claim:
        assert claim is None
    assert [(r.status, r.error) for r in ledger.runs()] == [("skipped", "the catalogue was wrong that day")]


def test_a_lease_is_held_by_one_and_given_on(settings, clock):
    ledger, other = Ledger(settings, clock), Ledger(settings, clock)
    for _ in range(2):
        with ledger.lease("deploy") as held:
            held.check()
            with pytest.raises(RunInProgress, match="'deploy' is being run"), other.lease("deploy"):
                pytest.fail("held twice")
    with pytest.raises(ZeroDivisionError), ledger.lease("deploy"):
        1 / 0  # noqa: B018
    with other.lease("deploy"):
        assert ledger.runs() == []


def test_a_run_does_not_begin_while_the_lease_is_held_that_it_stays_apart_from(settings, clock):
    ledger = Ledger(settings, clock)
    with ledger.lease(LAKE):
        with pytest.raises(RunInProgress, match="'lake'"), ledger.claim("job", "view", "d", END - DAY, END, apart=LAKE):
            pytest.fail("it began")
        assert (ledger.runs(), ledger.at_work()) == ([], []), "it left a trace"
        with ledger.claim("other", "view", "d", END - DAY, END):
            assert [r.job for r in ledger.at_work()] == ["other"]
    with ledger.claim("job", "view", "d", END - DAY, END, apart=LAKE) as claim:
        assert claim is not None


def test_a_lease_that_is_taken_while_a_run_begins_is_noticed(settings, clock, monkeypatch):
    ledger, held = Ledger(settings, clock), contextlib.ExitStack()
    take = ledger._take

    def meanwhile(key, *args):
        if key[1] != LAKE:
            held.enter_context(Ledger(settings, clock).lease(LAKE))
        return take(key, *args)

    monkeypatch.setattr(ledger, "_take", meanwhile)
    with held, pytest.raises(RunInProgress), ledger.claim("job", "view", "d", END - DAY, END, apart=LAKE):
        pytest.fail("it began")
