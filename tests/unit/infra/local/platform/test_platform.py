"""What was started, and not stopped since, is started again whenever the platform comes up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.local.platform import platform as module
from infra.local.platform.platform import Platform, Progress


class Supervisor:
    """One that runs, with nothing under it."""

    def __init__(self, _home: Any) -> None:
        self.stopped: list[str] = []

    def running(self) -> bool:
        return True

    def processes(self) -> dict[str, Any]:
        return {}

    def load(self, _parts: Any) -> None:
        """It knows them."""

    def stop(self, name: str) -> None:
        self.stopped.append(name)


class Told(Platform):
    """A platform that says what it would start."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, ["valkey"])
        self.begun: list[str] = []

    def _start(self, names: Sequence[str], _progress: Progress) -> None:
        self.begun += names

    def create_topics(self) -> list[str]:
        return []


def test_programs_that_ran_come_up_with_the_platform_in_the_order_of_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Supervisor", Supervisor)
    first = Told(tmp_path)
    first.up()
    assert first.begun == ["valkey"]
    for name in ("reconciler", "heartbeat", "redis_writer"):
        first.start(name)
    first.stop("heartbeat")
    first.stop("valkey")  # a part, which comes up anyway
    again = Told(tmp_path)
    again.up()
    assert again.begun == ["valkey", "redis_writer", "reconciler"]
    without = Told(tmp_path)
    without.up(programs=False)
    assert without.begun == ["valkey"]
