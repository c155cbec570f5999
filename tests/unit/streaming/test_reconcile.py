"""A reconciler submits what does not run; when its servers are away it says so once, and goes on."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from adfeast.clock import ManualClock
from adfeast.settings import Settings
from streaming import reconcile
from streaming.flink_rest import Job
from streaming.plan import Plan
from streaming.reconcile import Reconciler, last_pass
from tests.unit.streaming.jobs.test_sql import definitions


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        local=tmp_path,
        registry_url=f"sqlite:///{tmp_path}/registry.db",
        ledger_url=f"sqlite:///{tmp_path}/ledger.db",
        flink_rest="http://127.0.0.1:9",  # nobody listens there
        kafka_bootstrap="127.0.0.1:9",
    )


def test_nothing_applied_is_a_problem_that_is_told_once(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    running = threading.Thread(target=Reconciler(settings, ManualClock(1)).run, args=(stop, 0.01))
    with caplog.at_level(logging.INFO):
        running.start()
        while not last_pass(settings.local).exists():
            assert running.is_alive()
        first = last_pass(settings.local).stat().st_ino
        while last_pass(settings.local).stat().st_ino == first:
            assert running.is_alive()
        stop.set()
        running.join()
    assert "feast apply" in last_pass(settings.local).read_text()
    assert len([r for r in caplog.records if r.name == "streaming.reconcile"]) == 1


def test_jobs_that_a_cluster_has_forgotten_are_submitted_without_a_person(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster: dict[str, list[Job]] = {}
    submitted: list[list[str]] = []

    def submit(plan: Plan, *_: object, **__: object) -> None:
        submitted.append(sorted(plan["jobs"]))
        for name, spec in plan["jobs"].items():
            cluster[name] = [Job(name, spec["name"], spec["digest"], spec["tuning"], 1, "RUNNING", 1, 1)]

    monkeypatch.setattr(reconcile, "load_definitions", lambda _settings: definitions())
    monkeypatch.setattr(reconcile, "running", lambda _project, _rest: dict(cluster))
    monkeypatch.setattr(reconcile, "submit", submit)
    reconciler = Reconciler(settings, ManualClock(1))
    both = ["archive", "features-shop_bids"]
    for begun in ([], [both], [both]):  # an apply may be half done at the first look; then all runs
        reconciler.step()
        assert submitted == begun
    cluster.clear()  # the JobManager died, or the platform went down
    reconciler.step()
    assert submitted == [both, both]
