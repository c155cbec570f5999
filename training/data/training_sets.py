"""Training sets by the ledger: one that is made is found again, and each check stands there with its result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import datetime, timedelta

from adfeast.clock import Clock, to_datetime
from adfeast.lake import filesystem, parquet_files
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from training.data import label_join, validate
from training.data.label_join import TrainingSet
from training.data.validate import Checked

LABELS, CHECK = "labels", "validate"
EPOCH = to_datetime(0)


def make(
    settings: Settings,
    start: datetime,
    end: datetime,
    label_window: timedelta,
    name: str,
    clock: Clock,
    *,
    as_of: datetime | None = None,
    again: bool = False,
) -> TrainingSet:
    """The set of an interval, as it was made before when it was, and its files are still there.

    Args:
        as_of: default: now. Once the label window of the last impression is closed it changes nothing.

    Raises:
        RunInProgress: another process makes it.
        NothingToLabel: no row came out.
    """
    known = as_of or to_datetime(clock.now_ms())
    what = [start.isoformat(), label_window.total_seconds(), min(known, end + label_window).isoformat()]
    digest = hashlib.sha256(json.dumps([*what, settings.feature_service]).encode()).hexdigest()[:16]
    ledger = Ledger(settings, clock)
    made = next((r for r in ledger.runs(LABELS, name) if (r.digest, r.end, r.status) == (digest, end, "done")), None)
    if made is not None and not again and parquet_files(*filesystem(settings, made.facts["path"])):
        return TrainingSet(made.facts["path"], made.facts["counts"])
    with ledger.claim(LABELS, name, digest, start, end, again=True) as claim:
        assert claim is not None
        found = label_join.run(settings, start, end, label_window, name, known)
        claim.rows = found.counts["rows"]
        claim.facts |= {"path": found.path, "counts": found.counts}
    return found


def check(settings: Settings, path: str, clock: Clock) -> Checked:
    """Checks a set; see `validate.run`."""
    with Ledger(settings, clock).claim(CHECK, path[-200:], "", EPOCH, EPOCH, again=True) as claim:
        assert claim is not None
        found = validate.run(settings, path)
        claim.rows = found.rows
        claim.facts |= asdict(found)
    return found
