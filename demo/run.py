"""What the steps of one run share: where it happens, what was read, what has been counted so far."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import psutil
from rich.console import Console

from adfeast.clock import Clock, SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, IMPRESSIONS
from adfeast.contract.snapshots import TOPIC as SNAPSHOTS
from adfeast.settings import Settings
from demo.report.results import Report
from demo.stage import Stage
from demo.traffic.open_bandit import OpenBandit
from demo.traffic.replay import Replayed
from infra.local.platform.platform import REPLAY, Platform

# Days of events pass in a minute, and event time moves once a slice of auctions, up to an hour of a quiet night at a
# time: judged by the wall clock's promise of 15 s every value would be stale. At this speed a view may lie as far
# behind as the replay comes in 15 s, so a stream side that dies is told from one that works as it is on live traffic.
REPLAY_SPEED = 3600.0


@dataclass(frozen=True)
class Days:
    """Which UTC days play which part; `replayed` train the model, which serves `judged`; both ends included."""

    history: tuple[date, date] = (date(2019, 11, 24), date(2019, 11, 27))
    replayed: tuple[date, date] = (date(2019, 11, 28), date(2019, 11, 29))
    judged: tuple[date, date] | None = (date(2019, 11, 30), date(2019, 11, 30))


@dataclass
class Run:
    """The state of one run; `settings`, `definitions` and `data` are there once their steps are done.

    Attributes:
        home: the platform's folder.
        force: whether the trained model is deployed whatever the comparison says.
        counts: rows that the archive must hold by now, by topic.
        freshness_ms: milliseconds from acknowledged to readable, by stream view.
    """

    home: Path
    platform: Platform
    console: Console
    days: Days
    report: Report
    stage: Stage
    clock: Clock = field(default_factory=SystemClock)
    force: bool = False
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((IMPRESSIONS, CLICKS, SNAPSHOTS), 0))
    replays: list[Replayed] = field(default_factory=list)
    freshness_ms: dict[str, list[float]] = field(default_factory=dict)
    settings: Settings = field(init=False)
    definitions: Definitions = field(init=False)
    data: OpenBandit = field(init=False)

    @property
    def data_folder(self) -> Path:
        """Where downloads are kept."""
        return self.home / "data"

    def count(self, impressions: int = 0, clicks: int = 0, snapshots: int = 0) -> None:
        """Remembers what was acknowledged."""
        for topic, n in zip((IMPRESSIONS, CLICKS, SNAPSHOTS), (impressions, clicks, snapshots), strict=True):
            self.counts[topic] += n


def begin(home: Path, days: Days, console: Console, keep_up: bool, force: bool = False) -> Run:
    """A fresh run in `home`; commands that its steps start read that home's settings.

    The speed of the replay goes to the platform's programs by the environment, so that it ends with `adfeast down`: the
    next platform in this home may serve live traffic.
    """
    home = home.resolve()
    os.environ |= {"ADFEAST_SETTINGS": str(home / "settings.yaml"), "ADFEAST_REPLAY_SPEED": str(REPLAY_SPEED)}
    report = Report(f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC", _machine(), kept_running=keep_up)
    return Run(home, Platform(home, settings=REPLAY), console, days, report, Stage(console, report), force=force)


def midnight(day: date, plus_days: int = 0) -> datetime:
    """00:00 UTC of a day."""
    return datetime.combine(day, time(), UTC) + timedelta(days=plus_days)


def _machine() -> str:
    system = os.uname()
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GB memory, {system.sysname} {system.machine}"
