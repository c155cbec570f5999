"""A reconciler whose servers are away says so and goes on; it says it once."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from adfeast.clock import ManualClock
from adfeast.settings import Settings
from streaming.reconcile import Reconciler, last_pass


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
