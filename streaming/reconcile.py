"""Keeps the stream jobs in line with the definitions: `adfeast stream reconcile`, supervised.

It follows the registry, submits what does not run as planned, ends what a rebuilt view has replaced, and publishes how
far the archive is. It may be killed at any moment: the next one goes on from what it finds. Errors of Kafka, Flink and
the databases end a pass, never the program; one that stays the same is logged once.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.errors import AdfeastError
from adfeast.feast_ext.registry import load_definitions
from adfeast.ledger import Ledger, RunInProgress
from adfeast.settings import Settings
from adfeast.whole_file import replace_text
from streaming.archive_progress import ArchiveProgress
from streaming.checkpoints import JobState
from streaming.errors import StreamingError
from streaming.flink_rest import FlinkRest
from streaming.names import ARCHIVE, archive_group
from streaming.plan import Plan, make_plan
from streaming.running import beside, differs, running, stuck
from streaming.submit import LEASE, submit
from streaming.switch import Switch

log = logging.getLogger(__name__)
PERIOD_S = 1.5
PROGRESS_MS = 3_000
# What failed is tried again after so long, doubled each time: planning takes seconds of a core.
RETRY_MS, LONGEST_RETRY_MS = 5_000, 120_000


class Reconciler:
    """One process; more of them take turns by a lease, which helps nobody but harms nothing."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._rest = FlinkRest(settings.flink_rest)
        self._switch = Switch(settings)
        self._read: Definitions | None = None
        self._planned: tuple[Definitions, Plan] | None = None
        self._progress, self._progress_ms = ArchiveProgress(settings), 0
        self._retry_ms, self._not_before_ms = RETRY_MS, 0
        self._failed: AdfeastError | None = None
        self._problem = ""

    def run(self, stop: threading.Event, period_s: float = PERIOD_S) -> None:
        """Passes until `stop` is set; after each the file `last_pass` holds its problems, or nothing."""
        while True:
            self._report("; ".join(self.step()))
            if stop.wait(period_s):
                return

    def step(self) -> list[str]:
        """One pass; returns what is not as it should be, which the next pass tries again."""
        problems = []
        for attempt in (self._follow, self._bring_in_line, self._publish):
            try:
                attempt()
            except (AdfeastError, SQLAlchemyError) as error:
                problems.append(f"{type(error).__name__}: {error}")
        return problems

    def _follow(self) -> None:
        definitions = load_definitions(self._settings)
        settled, self._read = definitions == self._read, definitions
        if settled and (self._planned is None or self._planned[0] != definitions):
            # Else `feast apply` may be in the middle of its work; what is half applied is not planned.
            self._planned = definitions, make_plan(definitions, self._settings)
            self._retry_ms, self._not_before_ms, self._failed = RETRY_MS, 0, None

    def _bring_in_line(self) -> None:
        if self._planned is None:
            raise StreamingError("no definitions are planned yet")
        plan = self._planned[1]
        found = running(plan["project"], self._rest)
        if not differs(plan, found) and not stuck(self._rest, found):
            if any(beside(plan, found)):
                # Whoever is at it already does the same.
                with suppress(RunInProgress), Ledger(self._settings, self._clock).lease(LEASE) as claim:
                    self._switch.step(plan, claim)
            return
        if self._failed and self._clock.now_ms() < self._not_before_ms:
            raise self._failed.with_traceback(None)
        try:
            submit(plan, self._settings, wait_s=0, switch_s=0, clock=self._clock)
        except RunInProgress:
            raise  # whoever is at it does the same
        except AdfeastError as error:
            self._failed, self._not_before_ms = error, self._clock.now_ms() + self._retry_ms
            self._retry_ms = min(2 * self._retry_ms, LONGEST_RETRY_MS)
            raise
        self._retry_ms, self._not_before_ms, self._failed = RETRY_MS, 0, None

    def _publish(self) -> None:
        now = self._clock.now_ms()
        if self._planned is None or now - self._progress_ms < PROGRESS_MS:
            return
        self._progress_ms = now
        # What runs may be older than what is planned, if that could not be started.
        archiving = self._rest.alive(archive_group(self._settings.project))
        state = JobState(self._settings, self._planned[1]["checkpoints"], ARCHIVE)
        plan = state.kept(archiving.digest, archiving.lineage) if archiving else None
        if plan is not None:
            self._progress.step(plan, now)

    def _report(self, problem: str) -> None:
        if problem != self._problem and problem:
            log.warning("%s", problem)
        elif problem != self._problem:
            log.info("all is as planned")
        self._problem = problem
        file = last_pass(self._settings.local)
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, problem)  # half of it may be empty, which says that all is well


def last_pass(local: Path) -> Path:
    """The file that is as old as the reconciler's last pass and says what was wrong, if anything."""
    return local / "state" / "streaming" / "reconciler"
