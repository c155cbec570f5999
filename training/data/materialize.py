"""The scheduled form of the batch side: makes what is missing of every batch view, in the lake and online.

Views are made alone: one that fails or waits for its input stops no other. The newest interval of each goes first, so
that what is served does not wait for history; an online row never goes back in time, so older ones change nothing
there. The ledger's row of an interval names the view and the digest of how its rows are made: a changed query is
another row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import duckdb
import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions, View
from adfeast.errors import AdfeastError
from adfeast.feast_ext.registry import load_definitions
from adfeast.ledger import LAKE, Claim, Ledger, Run, RunInProgress
from adfeast.settings import Settings
from adfeast.watermarks import archived_until
from training.data.intervals import GRACE, LATENESS, last_end, pending, require_end, require_past, waits_for
from training.data.tables import newest_delivery
from training.errors import AlreadyDone, UnknownView

if TYPE_CHECKING:
    from training.data.publish import Publisher

JOB = "batch_view"
DAY = timedelta(days=1)
# What can be wrong with one view: its query, its rows, its part of the lake or of the online store.
FAILURES = (
    AdfeastError,
    PySparkException,
    Py4JError,
    OSError,
    pa.ArrowException,
    duckdb.Error,
    BotoCoreError,
    ClientError,
)


@dataclass(frozen=True)
class Outcome:
    """What came of one interval of one view.

    Attributes:
        status: `done`; `failed`: the reason is the error; `waits`: nothing was made, the reason is what is missing.
        rows: published.
        rows_aside: put aside as unsound.
    """

    view: str
    end: datetime
    status: Literal["done", "failed", "waits"]
    rows: int = 0
    rows_aside: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Limits:
    """When an interval may be made and published.

    Attributes:
        lateness: this long after its end by the clock.
        grace: the archive must be complete until this long after its end.
        least_share: share of the rows of the interval before that must be there.
    """

    lateness: timedelta = LATENESS
    grace: timedelta = GRACE
    least_share: float = 0.5


DEFAULTS = Limits()


def run(
    settings: Settings,
    until: datetime,
    clock: Clock,
    every: timedelta = DAY,
    since: datetime | None = None,
    *,
    views: Sequence[str] = (),
    again: bool = False,
    limits: Limits = DEFAULTS,
) -> list[Outcome]:
    """Brings the batch views up to the last whole interval that ends at or before `until`.

    Args:
        since: make also the intervals that end after it; default: see `intervals.pending`.
        views: only these; default: all.
        again: make the interval that ends at `until`, and no other, whether it is done, skipped or neither.

    Returns:
        outcomes in the order in which they were made, newest interval first; empty when all was done before.

    Raises:
        FutureInterval: the interval has not ended; nothing was made.
        NotAnInterval: `every` is no length of time, or with `again` no interval ends at `until`.
        UnknownView: a view of `views` is not applied, or is no batch view.
    """
    definitions, ledger = load_definitions(settings), Ledger(settings, clock)
    chosen, last = batch_views(definitions, views), last_end(until, every)
    if again:
        require_end(until, every)
    require_past(last, clock, limits.lateness)
    todo = [(view, last) for view in chosen]
    if not again:
        todo = []
        for view in chosen:
            ends = pending(ledger.runs(JOB, view.name), view.digest, last, every, since)
            todo += [(view, end) for end in ends]
        todo.sort(key=lambda t: t[1], reverse=True)
    maker = _Maker(settings, definitions, ledger, clock, every, again, limits)
    return [maker.make(view, end) for view, end in todo]


def skip(settings: Settings, view: str, end: datetime, clock: Clock, reason: str, every: timedelta = DAY) -> None:
    """Says that an interval of a view will not be made; `run` with `again` makes it all the same.

    Raises:
        UnknownView, NotAnInterval: there is no such interval.
        AlreadyDone: it is made.
        RunInProgress: somebody is at work on it.
    """
    [chosen] = batch_views(load_definitions(settings), [view])
    require_end(end, every)
    ledger = Ledger(settings, clock)
    if any(r.end == end and r.digest == chosen.digest and r.status == "done" for r in ledger.runs(JOB, view)):
        raise AlreadyDone(f"view {view!r} until {end.isoformat()} is done: there is nothing to skip")
    ledger.skip(JOB, view, chosen.digest, end - every, end, reason)


def batch_views(definitions: Definitions, names: Sequence[str] = ()) -> list[View]:
    """The batch views of these names, or all.

    Raises:
        UnknownView: one is not applied, or is no batch view.
    """
    found = {v.name: v for v in definitions.views.values() if v.kind == "batch"}
    for name in names:
        if name not in found:
            raise UnknownView(
                f"view={name!r} is not a batch view that is applied; those are {', '.join(found) or 'none'}"
            )
    return [found[name] for name in names or found]


class _Maker:
    """Makes intervals one after the other; Spark and Feast are started when the first one is really made."""

    def __init__(
        self,
        settings: Settings,
        definitions: Definitions,
        ledger: Ledger,
        clock: Clock,
        every: timedelta,
        again: bool,
        limits: Limits,
    ) -> None:
        self._settings, self._definitions, self._ledger, self._clock = settings, definitions, ledger, clock
        self._every, self._again, self._limits = every, again, limits
        self._publisher: Publisher | None = None
        self._deliveries: dict[tuple[str, datetime], datetime | None] = {}

    def make(self, view: View, end: datetime) -> Outcome:
        """Whatever is wrong with this view is its outcome."""
        archived, delivered = archived_until(self._settings), self._delivered(view, end)
        missing = waits_for(view, self._definitions, end, archived, delivered, self._limits.grace)
        if missing:
            return Outcome(view.name, end, "waits", reason="; ".join(missing))
        publisher = self._open()
        runs = self._ledger.runs(JOB, view.name)
        # Done once by this query, but another one has replaced the rows since.
        replaced = any((r.digest, r.end, r.status) == (view.digest, end, "done") for r in runs)
        again, before = self._again or replaced, _rows_before(runs, end)
        kept: Claim | None = None
        try:
            start = end - self._every
            with self._ledger.claim(JOB, view.name, view.digest, start, end, again=again, apart=LAKE) as claim:
                kept = claim
                if claim is None:
                    return Outcome(view.name, end, "done", reason="made by another process meanwhile")
                claim.facts["archived_until"] = {t: archived[t] for t in view.reads if t in archived}
                publisher.make(view, end, claim, delivered, before, self._limits.least_share)
        except RunInProgress as error:
            return Outcome(view.name, end, "waits", reason=str(error))
        except FAILURES as error:
            aside = kept.facts.get("rows_aside", 0) if kept else 0
            return Outcome(view.name, end, "failed", rows_aside=aside, reason=f"{type(error).__name__}: {error}")
        return Outcome(view.name, end, "done", claim.rows, claim.facts["rows_aside"])

    def _delivered(self, view: View, end: datetime) -> dict[str, datetime | None]:
        names = set(view.reads) & set(self._definitions.tables)
        for name in names:
            if (name, end) not in self._deliveries:
                table = self._definitions.tables[name]
                self._deliveries[name, end] = newest_delivery(self._settings, table, end)
        return {name: self._deliveries[name, end] for name in names}

    def _open(self) -> Publisher:
        from training.data.publish import open_publisher  # imports Feast, which takes 7 s

        if self._publisher is None:
            self._publisher = open_publisher(self._settings, self._definitions, self._clock)
        return self._publisher


def _rows_before(runs: Sequence[Run], end: datetime) -> int | None:
    done = [r for r in runs if r.status == "done" and r.end < end]
    return max(done, key=lambda r: (r.end, r.finished or r.end)).rows if done else None
