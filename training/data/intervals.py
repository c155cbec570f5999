"""Which intervals of a batch view are to be made, and whether they may be made already.

Intervals are whole multiples of their length since 1970 UTC, so every scheduler that asks means the same ones. One may
be made when it has ended by the clock with some lateness, when the archive of every topic that the view reads is
complete beyond its end, and when the delivered tables that it reads are fresh: "done" in the ledger then means that
the input was complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from adfeast.clock import Clock, to_datetime, to_ms
from adfeast.contract.definitions import Definitions, View
from adfeast.ledger import Run
from training.errors import FutureInterval, NotAnInterval

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATENESS = timedelta(minutes=5)  # by the clock: events of the interval are still on their way to Kafka
GRACE = timedelta(seconds=60)  # by event time: how far the archive must be beyond the end


def last_end(until: datetime, every: timedelta) -> datetime:
    """End of the last whole interval that ends at or before `until`.

    Raises:
        NotAnInterval: `every` is no length of time.
    """
    if every <= timedelta(0):
        raise NotAnInterval(f"every={every} is not a length of time")
    return EPOCH + (until - EPOCH) // every * every


def require_end(end: datetime, every: timedelta) -> None:
    """Raises: NotAnInterval: no interval of this length ends at `end`."""
    if last_end(end, every) != end:
        raise NotAnInterval(
            f"interval={end.isoformat()} is not the end of an interval of {every}; "
            f"the one before ends at {last_end(end, every).isoformat()}"
        )


def require_past(end: datetime, clock: Clock, lateness: timedelta) -> None:
    """Raises: FutureInterval: the interval ends later than the clock less the lateness."""
    now = to_datetime(clock.now_ms())
    if end > now - lateness:
        raise FutureInterval(
            f"the interval that ends at {end.isoformat()} cannot be made before {(end + lateness).isoformat()} "
            f"(lateness {lateness}); it is {now.isoformat(timespec='seconds')} by the clock: nothing was made, "
            "give an earlier time"
        )


def pending(
    runs: Sequence[Run], digest: str, last: datetime, every: timedelta, since: datetime | None
) -> list[datetime]:
    """Ends of a view's intervals that are not made, newest first: those that serve now do not wait for history.

    Args:
        runs: the ledger's rows of the view.
        digest: of how its rows are made now; what was made under another one counts for nothing, not even as a
            history to be caught up.
        since: make also the intervals that end after it; default: those after the oldest in the ledger, so that the
            first run of a view makes one interval and a later one catches up what was missed or has failed.
    """
    first = min([last, *(r.end for r in runs if r.digest == digest and last_end(r.end, every) == r.end)])
    if since is not None:
        first = min(first, last_end(since, every) + every)
    return [end for i in range((last - first) // every + 1) if not _over(runs, digest, end := last - i * every)]


def _over(runs: Sequence[Run], digest: str, end: datetime) -> bool:
    own = [r for r in runs if r.end == end]
    if any(r.digest == digest and r.status == "skipped" for r in own):
        return True
    # Rows lie in one folder a view and interval whatever made them, so only the last one counts: who goes back to an
    # old query finds the rows of the new one there.
    done = [r for r in own if r.status == "done" and r.finished is not None]
    newest = max((r.finished or EPOCH for r in done), default=EPOCH)
    return bool(done) and all(r.digest == digest for r in done if r.finished == newest)


def waits_for(
    view: View,
    definitions: Definitions,
    end: datetime,
    archived: dict[str, int],
    delivered: dict[str, datetime | None],
    grace: timedelta,
) -> list[str]:
    """What is missing of a view's input for an interval; empty when it is complete.

    Args:
        archived: topic to the event time in milliseconds up to which its archive is complete.
        delivered: table to the time of its newest delivery up to `end`.
    """
    found = []
    for topic in sorted(set(view.reads) & set(definitions.events)):
        needed, known = end + grace, archived.get(topic)
        if known is None:
            found.append(
                f"topic {topic!r} has no archive watermark and {needed.isoformat()} is needed: "
                "start the archive job and the reconciler, which publishes it, and the heartbeat"
            )
        elif known < to_ms(needed):
            found.append(
                f"topic {topic!r} is archived until {to_datetime(known).isoformat()} and {needed.isoformat()} is "
                "needed: when no events come, the heartbeat moves it on; when they do, see `adfeast stream status`"
            )
    for name in sorted(set(view.reads) & set(definitions.tables)):
        table, newest = definitions.tables[name], delivered.get(name)
        if newest is None:
            found.append(f"table {name!r} has no delivery up to {end.isoformat()}: deliver it to {table.url}")
        elif table.max_age_s is not None and newest < end - timedelta(seconds=table.max_age_s):
            oldest = (end - timedelta(seconds=table.max_age_s)).isoformat()
            found.append(
                f"table {name!r} was last delivered at {newest.isoformat()} and must not be older than {oldest}: "
                f"deliver it to {table.url}"
            )
    return found
