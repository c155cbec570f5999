"""What the parts of a platform have of whoever starts it, and how they are stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import feast
import pytest

from infra.local.platform.home import Home
from infra.local.platform.supervision import Supervisor, inherited


def test_no_part_inherits_the_folder_that_goes_with_the_process_which_imported_feast() -> None:
    of_feast = {name for name, value in os.environ.items() if "feast_metrics_" in value}
    assert of_feast, f"Feast {feast.__version__} names no folder of its own any more"
    assert not of_feast & inherited().keys()
    assert inherited()["PATH"] == os.environ["PATH"]


class Daemon:
    """Three parts that end as soon as one was asked to."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def getAllProcessInfo(self) -> list[dict[str, Any]]:  # noqa: N802 (supervisord's names)
        pid = 0 if self.asked else 7
        seen = {"statename": "RUNNING", "pid": pid, "now": 1, "start": 0, "spawnerr": "", "description": ""}
        return [{"name": name} | seen for name in ("one", "two", "three")]

    def stopProcess(self, name: str, wait: bool) -> None:  # noqa: N802
        assert not wait, "one after the other"
        self.asked.append(name)


def test_parts_are_asked_to_stop_side_by_side_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon, supervisor = Daemon(), Supervisor(Home(tmp_path))
    monkeypatch.setattr(supervisor, "_rpc", lambda: daemon)
    supervisor.stop_all(name for name in ("one", "three"))
    assert daemon.asked == ["one", "three"]
