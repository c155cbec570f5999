"""An impression is joined with the answer it was shown from, whatever the definitions were then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from adfeast.contract import snapshots
from adfeast.contract.signature import Contract, Identity
from adfeast.settings import Settings
from training.data.served import Found, find_snapshots

NOON = datetime(2019, 11, 28, 12, tzinfo=UTC)
FORMER = Contract((Identity("age", "users", "user", "dense", "int64", made="query 1"),))
TODAY = Contract((Identity("age", "users", "user", "dense", "int64", made="query 2"),))
LABELLED = "request_id string, attempt_id string, event_id string, ad_id string, event_timestamp timestamp, label byte"


def find(spark: SparkSession, lake: Path, served: list[tuple[str, str, str]], shown: list[tuple[str, str]]) -> Found:
    """Joins impressions `request, attempt` with snapshots `request, attempt, contract`, served one after the other."""
    columns = {name: [s[i] for s in served] for i, name in enumerate(("request_id", "attempt_id", "contract_hash"))}
    times = pa.array([NOON + timedelta(seconds=n) for n in range(len(served))], pa.timestamp("us", "UTC"))
    folder = lake / "events" / snapshots.TOPIC / f"date={NOON:%Y-%m-%d}"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({**columns, "event_timestamp": times}), folder / "part-0.parquet")
    rows = [(request, attempt, f"i{n}", "ad", NOON, 0, None, 1.0) for n, (request, attempt) in enumerate(shown)]
    labelled = spark.createDataFrame(rows, f"{LABELLED}, position int, weight float")
    known = {c.hash: c for c in (TODAY, FORMER)}
    day = timedelta(days=1)
    return find_snapshots(spark, Settings(lake=str(lake)), labelled, NOON - day, NOON + day, known)


def joined(found: Found) -> dict[Any, tuple[Any, Any]]:
    """Impression to attempt and contract."""
    return {s["event_id"]: (r["attempt_id"], r["contract_hash"]) for r in found.rows.collect() for s in r["shown"]}


def test_of_a_repeated_request_the_attempt_counts_that_was_shown(spark: SparkSession, tmp_path: Path) -> None:
    served = [("r", attempt, TODAY.hash) for attempt in ("a1", "a2", "a3")]
    # The second impression does not say which one it was: any would be a guess.
    found = find(spark, tmp_path, [*served, ("once", "b1", TODAY.hash)], [("r", "a2"), ("r", ""), ("once", "")])
    assert joined(found) == {"i0": ("a2", TODAY.hash), "i2": ("b1", TODAY.hash)}
    assert found.counts["impressions_ambiguous"] == 1


def test_what_was_logged_before_the_definitions_changed_is_kept(spark: SparkSession, tmp_path: Path) -> None:
    served = [("old", "a1", FORMER.hash), ("new", "a2", TODAY.hash), ("other", "a3", "nobody's")]
    found = find(spark, tmp_path, served, [("old", "a1"), ("new", "a2"), ("other", "a3")])
    assert joined(found) == {"i0": ("a1", FORMER.hash), "i1": ("a2", TODAY.hash)}
    assert found.contracts == {TODAY.hash: TODAY, FORMER.hash: FORMER}
    assert found.unknown == {"nobody's": 1}
