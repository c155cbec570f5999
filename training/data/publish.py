"""Makes one interval of one batch view: computed, cleared of unsound rows, checked, then published.

Publication goes in the order folder, online rows, done. Whatever fails before leaves both as they were; whoever comes
after a crash does all of it again and gets the same. `event_timestamp` is the end of the interval and not the time of
the newest event seen, because that is the moment the values hold for.
"""

from __future__ import annotations

import logging
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from io import StringIO

from feast import FeatureStore
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from adfeast.clock import Clock, to_datetime
from adfeast.contract.definitions import Definitions, View
from adfeast.contract.events import EVENT_TIME
from adfeast.feast_ext.store import open_store
from adfeast.lake import interval_folder, interval_name
from adfeast.ledger import Claim
from adfeast.settings import Settings
from training.data import batch_features, quarantine, suites, tables
from training.data.spark import spark_session

log = logging.getLogger(__name__)
CREATED_TIME = "created_timestamp"


@dataclass(frozen=True)
class Publisher:
    """What publishing needs, opened once for many views and intervals."""

    settings: Settings
    definitions: Definitions
    spark: SparkSession
    store: FeatureStore
    clock: Clock

    def make(
        self,
        view: View,
        end: datetime,
        claim: Claim,
        delivered: dict[str, datetime | None],
        rows_before: int | None,
        least_share: float,
    ) -> None:
        """Makes a claimed interval; the claim says what came of it, also of one that fails.

        Args:
            delivered, rows_before, least_share: see `suites.Bounds`.

        Raises:
            UnknownTable, MissingTable, BadQuery: there are no rows.
            BadFeatureRows, NotPublished: the rows are not sound; they are not published.
            LeaseLost: somebody else has taken over.
        """
        rows = batch_features.compute(self.spark, self.settings, self.definitions, view, end)
        judged = quarantine.with_reason(rows, view).persist()
        try:
            counts = {r[0]: int(r[1]) for r in judged.groupBy(quarantine.REASON).count().collect()}
            sound = counts.pop(None, 0)
            claim.facts |= {"rows": sound, "rows_aside": sum(counts.values()), "rows_before": rows_before}
            self._put_aside(judged, view, end, counts, claim)
            quarantine.require_few(view, sound + sum(counts.values()), counts)
            good = judged.where(F.col(quarantine.REASON).isNull()).drop(quarantine.REASON)
            bounds = _bounds(self.definitions, view, end, delivered, sound, rows_before, least_share)
            claim.facts["expectations"], claim.facts["rows_checked"] = suites.require(good, view, bounds)
            tables.replace_folder(
                self._stamped(good, end), self.settings, interval_folder(view.table, end), claim.check
            )
        finally:
            judged.unpersist()
        claim.check()
        self._write_online(view, end)
        claim.rows = sound
        log.info("view %s as of %s: %d rows, %d put aside", view.name, end.isoformat(), sound, sum(counts.values()))

    def _put_aside(self, judged: DataFrame, view: View, end: datetime, counts: dict[str, int], claim: Claim) -> None:
        url = self.settings.lake_path("quarantine", view.name, interval_name(end))
        if not counts:
            tables.remove_folder(self.settings, url)  # of an earlier run, whose cause is gone
            return
        bad = judged.where(F.col(quarantine.REASON).isNotNull())
        tables.replace_folder(self._stamped(bad, end), self.settings, url, claim.check)
        claim.facts |= {"quarantine": url, "reasons": counts}

    def _stamped(self, rows: DataFrame, end: datetime) -> DataFrame:
        made = to_datetime(self.clock.now_ms())
        return rows.withColumn(EVENT_TIME, F.lit(end)).withColumn(CREATED_TIME, F.lit(made))

    def _write_online(self, view: View, end: datetime) -> None:
        with redirect_stdout(StringIO()):  # Feast prints its progress
            self.store.materialize(start_date=end, end_date=end, feature_views=[view.name])


def open_publisher(settings: Settings, definitions: Definitions, clock: Clock) -> Publisher:
    """Starts Spark and opens the feature store."""
    return Publisher(settings, definitions, spark_session(settings), open_store(settings), clock)


def _bounds(
    definitions: Definitions,
    view: View,
    end: datetime,
    delivered: dict[str, datetime | None],
    rows: int,
    rows_before: int | None,
    least_share: float,
) -> suites.Bounds:
    read = {name: moment for name, moment in delivered.items() if name in view.reads and moment is not None}
    limits = {name: definitions.tables[name].max_age_s for name in read}
    return suites.Bounds(
        rows=rows,
        rows_before=rows_before,
        least_share=least_share,
        ages_s={name: (end - moment).total_seconds() for name, moment in read.items()},
        max_ages_s={name: most for name, most in limits.items() if most is not None},
    )
