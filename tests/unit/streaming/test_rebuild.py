"""How a job begins without state: from a horizon and a margin before where its view was written until."""

from __future__ import annotations

from pathlib import Path

import pytest

from adfeast.settings import Settings
from adfeast.watermarks import Mark, record_marks
from streaming import rebuild
from streaming.checkpoints import JobState
from streaming.flink_rest import FlinkRest
from streaming.names import features_job
from streaming.plan import make_plan, started
from streaming.rebuild import MARGIN_MS, Start, begin, horizon_ms, later_ms
from tests.unit.streaming.jobs.test_sql import definitions

JOB = features_job("shop_bids")
HORIZON_MS = 4 * 30_000  # sessions with a gap of 30 s reach further back than windows of 60 s


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        local=tmp_path,
        registry_url=f"sqlite:///{tmp_path}/r.db",
        ledger_url=f"sqlite:///{tmp_path}/l.db",
        redis_port=9,  # nobody listens there
    )


def begun(settings: Settings, now_ms: int) -> Start:
    plan = make_plan(definitions(), settings)
    state = JobState(settings, settings.checkpoints, JOB)
    return begin(settings, plan, JOB, None, FlinkRest(settings.flink_rest), state, now_ms)


def test_a_view_reaches_as_far_back_as_its_longest_window_or_some_gaps(settings: Settings) -> None:
    assert horizon_ms(make_plan(definitions(), settings)["views"][0]) == HORIZON_MS
    assert horizon_ms({"spec": "0-300000-10000_0-3600000-60000"}) == 3_600_000


def test_a_new_view_reads_the_last_horizon_of_live_traffic(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "partitions", lambda bootstrap, topics: [0, 1])
    now = 1_000_000_000
    record_marks(settings, [Mark("bids", 0, 1, now - 1_000)], now)
    assert begun(settings, now) == Start(now)  # a partition without a mark: nobody knows how far time is
    record_marks(settings, [Mark("bids", 1, 1, now - 3_000)], now)
    until = now - 3_000 - 5_000
    assert begun(settings, now) == Start(now, until - HORIZON_MS - MARGIN_MS, until)


def test_time_that_runs_ahead_of_the_clock_does_not_move_the_beginning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "partitions", lambda bootstrap, topics: [0])
    now = 1_000_000_000
    record_marks(settings, [Mark("bids", 0, 1, now + 600_000)], now)
    assert begun(settings, now).timestamp_ms == now - HORIZON_MS - MARGIN_MS


def test_a_view_whose_state_is_lost_reads_everything_when_nobody_knows_how_far_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "partitions", lambda bootstrap, topics: [0])
    record_marks(settings, [Mark("bids", 0, 1, 900_000)], 900_000)
    state = JobState(settings, settings.checkpoints, JOB)
    state.keep(started(make_plan(definitions(), settings), JOB, Start(2_000_000).to_plan()), JOB)
    assert begun(settings, 1_000_000) == Start(2_000_001)


def test_a_longer_delay_is_no_reason_to_wait_for_time_that_stands_still(settings: Settings) -> None:
    short, long = (make_plan(definitions(), settings, watermark_delay_ms=ms) for ms in (5_000, 6_000))
    assert (later_ms(long, short), later_ms(short, long), later_ms(long, None)) == (1_000, 0, 0)
