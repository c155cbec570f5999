"""What a drill found, and the comparison of everything with everything at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from adfeast.clock import SystemClock
from adfeast.contract.events import CLICKS, IMPRESSIONS
from drills import checks
from drills.errors import Broken
from drills.stage import Stage
from drills.traffic import Event
from streaming.marks import advance
from streaming.plan import make_plan
from streaming.progress import wait_archived, wait_features

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a drill found.

    Attributes:
        steps: name and seconds of each change.
        figures: what was counted.
        problems: promises that were broken.
        beside: impressions that were acknowledged to others than the ad server and the old producer.
        poison: messages among the impressions that were no events.
        excused: Predicts that failed while a part was away without which none can be answered.
    """

    steps: list[tuple[str, float]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    beside: list[Event] = field(default_factory=list)
    poison: int = 0
    excused: int = 0

    def ended(self, begun: float) -> Self:
        """What was found, the minutes since `begun` (monotonic seconds) among it.

        Raises:
            Broken: a promise was broken; the message lists all.
        """
        self.figures["minutes"] = round((time.monotonic() - begun) / 60, 1)
        if self.problems:
            raise Broken("promises were broken:\n" + "\n".join(f"  - {problem}" for problem in self.problems))
        return self


def judge(on: Stage, outcome: Outcome, say: Say) -> None:
    """Stops traffic and kills, waits until everything is processed, and adds figures and problems to the outcome."""
    say("traffic stops; everything is compared")
    on.killer.stop()
    seen, old = on.traffic.stop(), on.old.stop()
    on.platform.stop("heartbeat")
    definitions, settings = on.definitions, on.settings
    events = {IMPRESSIONS: [*seen.acknowledged[IMPRESSIONS], *old, *outcome.beside], CLICKS: seen.acknowledged[CLICKS]}
    wait_archived(settings, [IMPRESSIONS, CLICKS], 300)
    now = SystemClock().now_ms()
    advance(settings, make_plan(definitions, settings), now)
    wait_features(settings, 300)
    compared, late, wrong = checks.wrong_values(settings, definitions, events, now)
    for topic, sent in events.items():
        outcome.problems += checks.lost_or_doubled(settings, topic, sent, outcome.poison if topic == IMPRESSIONS else 0)
    outcome.problems += wrong + on.killer.problems
    if len(seen.failed) > outcome.excused:
        outcome.problems.append(f"{len(seen.failed)} Predicts failed, {outcome.excused} had to: {seen.failed[-5:]}")
    p50, p99 = np.percentile(seen.latency_ms, [50, 99])
    outcome.figures |= {
        "Predicts answered": sum(seen.answered.values()),
        "Predicts failed": len(seen.failed),
        "by model": dict(seen.answered),
        "p50 and p99 at the caller, ms": f"{p50:.1f}, {p99:.1f}",
        "impressions and clicks acknowledged": f"{len(events[IMPRESSIONS])}, {len(events[CLICKS])}",
        "of an old producer": len(old),
        "log calls repeated": seen.repeated_logs,
        "online values compared": compared,
        "events too late for a view": late,
        "programs killed": dict(on.killer.killed),
        "commands killed": dict(on.commands.killed),
    }
