"""Only one brings the jobs in line, and what runs is not touched for a plan that cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pytest

from adfeast.clock import ManualClock
from adfeast.ledger import Ledger, RunInProgress
from adfeast.settings import Settings
from streaming import submit as submitting
from streaming.errors import SubmitFailed
from streaming.flink_rest import Job
from streaming.names import ARCHIVE, archive_group, features_job, flink_name
from streaming.plan import make_plan
from streaming.submit import LEASE, submit
from tests.unit.streaming.jobs.test_sql import definitions

CLOCK = ManualClock(1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path}/registry.db"
    return Settings(
        project="p",
        local=tmp_path,
        registry_url=url,
        ledger_url=url,
        flink_rest="http://127.0.0.1:9",  # nobody listens there
        redis_port=9,
        kafka_bootstrap="127.0.0.1:9",
    )


def test_of_two_who_submit_one_waits(settings: Settings) -> None:
    with Ledger(settings, CLOCK).lease(LEASE), pytest.raises(RunInProgress, match=LEASE):
        submit(make_plan(definitions(), settings), settings, wait_s=0, clock=CLOCK)


class Cluster:
    """A cluster on which the jobs of a former plan run."""

    url = "http://flink"

    def __init__(self) -> None:
        self.touched: list[str] = []

    def jobs(self) -> list[Job]:
        names = [archive_group("p"), flink_name("p", features_job("shop_bids")), flink_name("p", features_job("gone"))]
        return [Job(name, name, "former", "t", 1, "RUNNING", 1, 1) for name in names]

    def watermark(self, _job: str) -> None:
        """They have none yet."""

    def stop(self, job: str, *_: Any) -> str:
        self.touched.append(job)
        return "file:///savepoint"

    def cancel(self, job: str) -> None:
        self.touched.append(job)


class Unplannable:
    """A client that cannot plan the SQL it is given."""

    asked: list[str] = []  # noqa: RUF012 (the one client is made by what is tested)

    def __init__(self, _plan: Any, planned: list[str], _settings: Settings) -> None:
        self.asked[:] = planned

    def __enter__(self) -> Self:
        raise SubmitFailed("the stream jobs cannot be planned; what runs goes on")

    def __exit__(self, *_: object) -> None:
        return


def test_a_plan_that_cannot_be_planned_stops_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    monkeypatch.setattr(submitting, "FlinkRest", lambda _url: cluster)
    monkeypatch.setattr(submitting, "Client", Unplannable)
    monkeypatch.setattr(submitting, "ensure_topics", lambda *_: [])
    with pytest.raises(SubmitFailed, match="what runs goes on"):
        submit(make_plan(definitions(), settings), settings, clock=CLOCK)
    assert sorted(Unplannable.asked) == [ARCHIVE, features_job("shop_bids")]
    assert cluster.touched == []
