"""Joins what was shown with what the model was given and what was clicked: the training set.

An impression is a row. Its values are those of the snapshot of the very answer that was shown, bit for bit, read by the
contract that the snapshot names; nothing is recomputed. Its label is 1 when a click on it happened at most the label
window after it, else 0. Only impressions whose window has closed count, and only when the archive holds every click
that could still change them, so a 0 is final. The report counts what was left out, and why.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pyspark.sql import functions as F  # noqa: N812

from adfeast.clock import Clock, to_ms
from adfeast.contract import snapshots
from adfeast.contract.events import CLICKS, EVENT_TIME, IMPRESSIONS, REQUEST_ID
from adfeast.contract.signature import AD, USER, Contract
from adfeast.feast_ext.registry import load_definitions
from adfeast.lake import STAGING, filesystem, parquet_files
from adfeast.ledger import LAKE, Claim, Ledger
from adfeast.settings import Settings
from training.data import completeness
from training.data.columns import training_schema
from training.data.decode import writer
from training.data.labelled import label
from training.data.sampled import sample
from training.data.served import Found, find_snapshots, known_contracts
from training.data.spark import spark_session
from training.data.tables import make_folder, publish_local
from training.errors import NothingToLabel

log = logging.getLogger(__name__)
JOB = "labels"
RULE = 3  # of labelling and joining; raise it when the same events would give other rows
PARTS = 4
WRITTEN = ("rows", "positives", "not_candidates")


@dataclass(frozen=True)
class TrainingSet:
    """A written training set.

    Attributes:
        path: folder of Parquet files.
        counts: rows written, and what was counted on the way.
        unknown_contracts: impressions left out by the contract hash that their snapshot names and nobody knows.
    """

    path: str
    counts: dict[str, int]
    unknown_contracts: dict[str, int]


def run(
    settings: Settings,
    start: datetime,
    end: datetime,
    label_window: timedelta,
    name: str,
    clock: Clock,
    as_of: datetime | None = None,
    grace: timedelta = completeness.GRACE,
    negatives: float = 1.0,
) -> TrainingSet:
    """Labels the impressions with start <= time < end; what was made already is given back as it is.

    Args:
        label_window: a click at most this long after the impression makes it positive.
        as_of: for back-tests: what has not happened by then is not known; impressions whose window is open then are
            left out. Default: everything is known and every window has closed.
        grace: how far beyond what it is asked for the archive must be complete.
        negatives: share of the impressions without a click that is taken, see `training.sampling`; what is taken weighs
            what it stands for.

    Returns:
        the set's folder: `training_sets/<name>` in a local lake, where it replaces a set of that name at
        once, or a folder of its own below it on S3.

    Raises:
        NotComplete: the archive does not hold yet what the labels depend on.
        NothingToLabel: no row came out; the counts say why.
        RunInProgress, LeaseLost: another process makes the same set.
    """
    known = as_of or end + label_window
    digest = _digest(start, end, label_window, known, negatives)
    ledger = Ledger(settings, clock)
    if made := _made(settings, ledger, name, digest, end):
        log.info("training set %s is made already: %s", name, made.path)
        return made
    completeness.require(settings, _needs(end, label_window, known, grace), clock)
    # `again`: another set of that name may have taken its folder since.
    with ledger.claim(JOB, name, digest, start, end, again=True, apart=LAKE) as claim:
        assert claim is not None
        result = _make(settings, start, end, label_window, name, known, negatives, claim)
        claim.rows = result.counts["rows"]
        claim.facts |= {"path": result.path, "counts": result.counts, "unknown_contracts": result.unknown_contracts}
    return result


def _digest(start: datetime, end: datetime, label_window: timedelta, known: datetime, negatives: float) -> str:
    made = [RULE, to_ms(start), to_ms(end), label_window.total_seconds(), to_ms(known)]
    made += [negatives] if negatives < 1 else []
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()


def _needs(end: datetime, label_window: timedelta, known: datetime, grace: timedelta) -> dict[str, int]:
    """Up to when the archive of each topic must be complete."""
    ends = {IMPRESSIONS: end, snapshots.TOPIC: end, CLICKS: end + label_window}
    return {topic: to_ms(min(moment, known) + grace) for topic, moment in ends.items()}


def _made(settings: Settings, ledger: Ledger, name: str, digest: str, end: datetime) -> TrainingSet | None:
    """The set as it stands, when the last one made of that name is the one that is asked for."""
    done = [r for r in ledger.runs(JOB, name) if r.status == "done"]
    last = max(done, key=lambda r: (r.finished or r.started, r.started), default=None)
    if last is None or (last.digest, last.end) != (digest, end):
        return None
    fs, path = filesystem(settings, last.facts["path"])
    return TrainingSet(**last.facts) if parquet_files(fs, path) else None


def _make(
    settings: Settings,
    start: datetime,
    end: datetime,
    label_window: timedelta,
    name: str,
    known: datetime,
    negatives: float,
    claim: Claim,
) -> TrainingSet:
    spark = spark_session(settings)
    definitions = load_definitions(settings)
    labelled, counts = label(spark, settings, definitions, start, end, label_window, known)
    labelled = labelled.persist()
    final = settings.lake_path("training_sets", name)
    url = f"{final}/{uuid.uuid4().hex}" if final.startswith("s3://") else _staged(final)
    try:
        taken = sample(labelled, negatives)
        if negatives < 1:
            counts["negatives_left_out"] = labelled.count() - taken.count()
        found = find_snapshots(spark, settings, taken, start, end, known_contracts(settings))
        counts |= found.counts
        sums = _write(settings, definitions.entities, found, (to_ms(start), to_ms(end)), url)
        counts["impressions_without_snapshot"] += sums.pop("not_candidates")
        counts |= sums
        log.info("training set %s: %s", name, counts)
        for contract, rows in found.unknown.items():
            log.warning("%d impressions left out: nobody knows the contract %r of their snapshots", rows, contract)
        if not counts["rows"]:
            raise NothingToLabel(
                f"no training row from {start.isoformat()} to {end.isoformat()}: {counts}"
                + (f"; unknown contracts {found.unknown}" if found.unknown else "")
            )
        claim.check()
        if not final.startswith("s3://"):
            publish_local(Path(url), Path(final))
            return TrainingSet(final, counts, found.unknown)
    except Exception:
        if not final.startswith("s3://"):
            shutil.rmtree(url, ignore_errors=True)
        raise
    finally:
        labelled.unpersist()
    return TrainingSet(url, counts, found.unknown)


def _write(
    settings: Settings, keys: dict[str, str], found: Found, interval: tuple[int, int], url: str
) -> dict[str, int]:
    """Writes the files below `url`; returns rows, positives, and impressions of ads that were no candidates."""
    if not found.contracts:
        return dict.fromkeys(WRITTEN, 0)
    schema = training_schema(Contract.union(*found.contracts.values()), keys[USER], keys[AD], interval)
    fs, path = filesystem(settings, url)
    make_folder(fs, path)
    own = found.rows.repartition(PARTS, REQUEST_ID).sortWithinPartitions(EVENT_TIME, REQUEST_ID)
    written = own.mapInArrow(writer(settings, url, found.contracts, schema), ", ".join(f"{c} long" for c in WRITTEN))
    sums = written.agg(*(F.sum(c).alias(c) for c in WRITTEN)).first().asDict()
    return {what: n or 0 for what, n in sums.items()}


def _staged(final: str) -> str:
    return str(Path(final).parent / STAGING / f"{Path(final).name}-{uuid.uuid4().hex}")
