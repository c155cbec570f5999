"""The scheduled form of the batch side: compute the batch views of every missed interval, then write them to DynamoDB.

Intervals are whole multiples of their length since 1970 UTC, so every scheduler that calls this means the same ones.
Computing replaces its folder and an online row never goes back in time: an interval can be done again at any moment.
"""

from __future__ import annotations

import logging
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO

from adfeast.clock import Clock
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import make_state_folders, open_store
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from training.data import batch_features
from training.errors import BatchError

log = logging.getLogger(__name__)
JOB = "batch_views"
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def run(
    settings: Settings, until: datetime, clock: Clock, every: timedelta = DAY, since: datetime | None = None
) -> dict[datetime, int]:
    """Brings the online rows of the batch views up to the last whole interval that ends at or before `until`.

    Args:
        since: compute also the intervals that end after it; default: those after the oldest in the ledger, so that the
            first run of a deployment does one interval and a later one catches up what was missed or has failed.

    Returns:
        rows written, by end of the interval; empty when all was done before.

    Raises:
        RunInProgress: another process is at work on one of the intervals.
    """
    make_state_folders(settings)
    ledger = Ledger(settings, clock)
    written = {}
    for end in pending(ledger, until, every, since):
        with ledger.claim(JOB, "all", "", end - every, end) as claim:
            if claim is not None:
                counts = batch_features.run(settings, end, clock)
                write_online(settings, end - every, end)
                claim.rows = written[end] = sum(counts.values())
    return written


def pending(ledger: Ledger, until: datetime, every: timedelta, since: datetime | None) -> list[datetime]:
    """Ends of the intervals that are not done, oldest first."""
    if every <= timedelta(0):
        raise BatchError(f"every={every} is not a length of time")
    last = EPOCH + (until - EPOCH) // every * every
    known = [r for r in ledger.runs(JOB) if (r.end - EPOCH) % every == timedelta(0)]
    first = min([last, *(r.end for r in known)])
    if since is not None:
        first = min(first, EPOCH + ((since - EPOCH) // every + 1) * every)
    done = {r.end for r in known if r.status == "done"}
    return [end for i in range((last - first) // every + 1) if (end := first + i * every) not in done]


def write_online(settings: Settings, start: datetime, end: datetime) -> None:
    """Writes the rows of the batch views with start <= event time <= end to their tier, newest a key."""
    views = [v.name for v in load_definitions(settings).views.values() if v.kind == "batch"]
    output = StringIO()
    with redirect_stdout(output):  # Feast prints its progress
        open_store(settings).materialize(start_date=start, end_date=end, feature_views=views)
    log.info("online rows of %s until %s are written", ", ".join(views), end.isoformat())
