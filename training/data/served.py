"""Finds for each impression the snapshot of the answer that was shown.

A request that is asked twice is answered twice, with two attempt ids and maybe with other values. An impression says
which attempt it shows. One of an older sender does not: it joins its request's snapshot when there is only one, and is
left out when there are several, because nobody can tell which the ad server used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from adfeast.contract import snapshots
from adfeast.contract.events import EVENT_TIME, REQUEST_ID
from adfeast.contract.history import CONTRACT, History
from adfeast.contract.signature import Contract
from adfeast.settings import Settings
from training.data.columns import ATTEMPT_ID
from training.data.decode import SHOWN
from training.data.tables import between_dates, read_events

# A snapshot and its impression may fall on the two sides of midnight, and an auction is over within the hour.
SLACK = timedelta(hours=1)


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        rows: one a shown answer: its snapshot, and `shown`, its impressions.
        contracts: those of `rows` by hash, the one that was served last first.
        unknown: impressions by the contract hash that their snapshot names and nobody knows.
        counts: what was left out.
    """

    rows: DataFrame
    contracts: dict[str, Contract]
    unknown: dict[str, int]
    counts: dict[str, int]


def known_contracts(settings: Settings) -> dict[str, Contract]:
    """Every contract that was ever logged under, by hash."""
    return {e.id: Contract.from_json(e.body) for e in History(settings).entries(CONTRACT)}


def find_snapshots(
    spark: SparkSession,
    settings: Settings,
    labelled: DataFrame,
    start: datetime,
    end: datetime,
    known: dict[str, Contract],
) -> Found:
    """The snapshots of labelled impressions; those left out are counted.

    Args:
        known: contracts by hash.
    """
    served = read_events(spark, settings, snapshots.TOPIC, snapshots.SCHEMA)
    served = between_dates(served, start - SLACK, end + SLACK).drop("date").withColumnRenamed(EVENT_TIME, "served")
    served = served.fillna("", [ATTEMPT_ID, "contract_hash"]).dropDuplicates([REQUEST_ID, ATTEMPT_ID])
    # Of requests that were shown only: what was never shown is most of the archive.
    attempts = (
        served.join(labelled.select(REQUEST_ID).distinct(), REQUEST_ID, "left_semi")
        .groupBy(REQUEST_ID)
        .agg(F.count("*").alias("attempts"), F.min(ATTEMPT_ID).alias("only"))
    )
    unnamed = F.col(ATTEMPT_ID) == ""
    several = unnamed & (F.col("attempts") > 1)
    resolved = labelled.join(attempts, REQUEST_ID, "left")
    ambiguous = resolved.where(several).count()
    resolved = resolved.where(~F.coalesce(several, F.lit(False)))
    resolved = resolved.withColumn(ATTEMPT_ID, F.when(unnamed, F.col("only")).otherwise(F.col(ATTEMPT_ID)))
    shown = resolved.groupBy(REQUEST_ID, ATTEMPT_ID).agg(
        F.array_sort(F.collect_list(F.struct(*SHOWN))).alias("shown"), F.min(EVENT_TIME).alias(EVENT_TIME)
    )
    joined = shown.join(served, [REQUEST_ID, ATTEMPT_ID], "left")
    seen = (
        joined.groupBy("contract_hash")
        .agg(F.sum(F.size("shown")).alias("impressions"), F.max("served").alias("last"))
        .collect()
    )
    without = sum(r["impressions"] for r in seen if r["contract_hash"] is None)
    named = [r for r in seen if r["contract_hash"] is not None]
    used = sorted((r for r in named if r["contract_hash"] in known), key=lambda r: (r["last"], r["contract_hash"]))
    unknown = {r["contract_hash"]: int(r["impressions"]) for r in named if r["contract_hash"] not in known}
    contracts = {r["contract_hash"]: known[r["contract_hash"]] for r in reversed(used)}
    return Found(
        joined.where(F.col("contract_hash").isin(list(contracts))).drop("served"),
        contracts,
        unknown,
        {
            "impressions_without_snapshot": without,
            "impressions_ambiguous": ambiguous,
            "impressions_of_unknown_contract": sum(unknown.values()),
        },
    )
