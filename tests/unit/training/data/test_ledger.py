"""The run ledger: an interval is done once, by one process, and a dead or failed one is done again."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from adfeast.clock import ManualClock, to_ms
from adfeast.settings import Settings
from training.data.ledger import LEASE, Ledger
from training.data.materialize import DAY, JOB, pending
from training.errors import BatchError, RunInProgress

END = datetime(2019, 11, 29, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(ledger_url=f"sqlite:///{tmp_path}/ledger.db")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(to_ms(END + timedelta(hours=1)))


def done(ledger, *ends):
    for end in ends:
        with ledger.claim(JOB, end - DAY, end) as claim:
            claim.rows = 1


def test_a_done_interval_is_not_given_again(settings, clock):
    ledger = Ledger(settings, clock)
    with ledger.claim("job", END - DAY, END) as claim:
        claim.rows = 42
    with ledger.claim("job", END - DAY, END) as claim:
        assert claim is None
    [run] = ledger.runs()
    assert (run.status, run.rows, run.attempts, run.start, run.end) == ("done", 42, 1, END - DAY, END)


def test_a_failed_interval_keeps_its_error_and_is_given_again(settings, clock):
    ledger = Ledger(settings, clock)
    with pytest.raises(ZeroDivisionError), ledger.claim("job", END - DAY, END):
        1 / 0  # noqa: B018
    [run] = ledger.runs()
    assert (run.status, run.error) == ("failed", "ZeroDivisionError: division by zero")
    with ledger.claim("job", END - DAY, END) as claim:
        assert claim is not None
    [run] = ledger.runs()
    assert (run.status, run.error, run.attempts) == ("done", None, 2)


def test_of_many_at_once_one_gets_the_interval(settings, clock):
    started, given, refused = threading.Barrier(6), [], []

    def work():
        ledger = Ledger(settings, clock)
        started.wait()
        try:
            with ledger.claim("job", END - DAY, END) as claim:
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
    assert "job of the interval until 2019-11-29" in refused[0]


def test_a_killed_process_leaves_its_interval_free(settings, clock):
    code = (
        "import os, signal, datetime as d; from adfeast.clock import ManualClock;"
        "from adfeast.settings import Settings;"
        "from training.data.ledger import Ledger;"
        f"ledger = Ledger(Settings(ledger_url={settings.ledger_url!r}), ManualClock({clock.ms}));"
        f"end = d.datetime.fromisoformat({END.isoformat()!r});"
        "held = ledger.claim('job', end - d.timedelta(1), end); held.__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    ledger = Ledger(settings, clock)
    assert [r.status for r in ledger.runs()] == ["running"]
    with ledger.claim("job", END - DAY, END) as claim:
        assert claim is not None
    assert [(r.status, r.attempts) for r in ledger.runs()] == [("done", 2)]


def test_a_lease_that_ran_out_is_free(settings, clock):
    holder = Ledger(settings, clock)
    stuck = holder.claim("job", END - DAY, END)
    stuck.__enter__()
    other = Ledger(settings, clock)
    with pytest.raises(RunInProgress), other.claim("job", END - DAY, END):
        pytest.fail("given twice")
    clock.advance(int(LEASE.total_seconds() * 1000) + 1)
    with other.claim("job", END - DAY, END) as claim:
        assert claim is not None


def test_missed_intervals_are_caught_up_oldest_first(settings, clock):
    ledger = Ledger(settings, clock)
    assert pending(ledger, END, DAY, None) == [END]
    assert pending(ledger, END + timedelta(hours=23), DAY, None) == [END]
    done(ledger, END - 4 * DAY, END - 2 * DAY)
    assert pending(ledger, END, DAY, None) == [END - 3 * DAY, END - DAY, END]
    assert pending(ledger, END, DAY, END - 6 * DAY) == [END - 5 * DAY, END - 3 * DAY, END - DAY, END]
    with pytest.raises(BatchError, match="every"):
        pending(ledger, END, timedelta(0), None)
