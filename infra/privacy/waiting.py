"""Until when what a user did can still come back, and what says that it cannot any more.

A row that was deleted comes back from what is under way: events that the archive has not finished, and values that the
stream jobs write because a window moves on, up to its length after the user's last event. A view that is built anew
reads Kafka for a little longer than that. So a request is done in a pass that begins when the watermarks of the archive
and of the user's stream views are that far beyond it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from adfeast.clock import Clock, to_datetime
from adfeast.contract.definitions import Definitions
from adfeast.contract.snapshots import TOPIC as SNAPSHOTS
from adfeast.settings import Settings
from adfeast.watermarks import archived_until
from infra.privacy.errors import NotSettled
from streaming.rebuild import MARGIN_MS, SESSION_GAPS, published_watermark

SETTLE_S, POLL_S = 300.0, 1.0


class Progress(Protocol):
    """How far the streams are, in milliseconds since 1970."""

    def archived(self, topic: str) -> int | None:
        """Up to when the archive of a topic is complete; None while nobody says so."""
        ...

    def served(self, view: str) -> int | None:
        """Up to when the online values of a stream view are written; None while nobody says so."""
        ...


class Published:
    """What the stream side publishes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def archived(self, topic: str) -> int | None:
        """See `Progress`."""
        return archived_until(self._settings).get(topic)

    def served(self, view: str) -> int | None:
        """See `Progress`."""
        return published_watermark(self._settings, view)


def horizon_ms(definitions: Definitions, join_key: str) -> int:
    """For how long after a user's last event its values change, or a view that is built anew reads it."""
    views = [v for v in definitions.views.values() if v.join_key == join_key]
    made = [a.window_s if a.slide_s else SESSION_GAPS * a.window_s for v in views for a in v.aggregations]
    return 1000 * max(made, default=0) + MARGIN_MS


def missing(definitions: Definitions, join_key: str, due_ms: int, progress: Progress, now_ms: int) -> list[str]:
    """What has not come to `due_ms` yet; empty when nothing older than the request can come back."""
    due = to_datetime(due_ms).isoformat(timespec="seconds")
    if now_ms < due_ms:
        return [f"windows and events under way are over at {due}"]
    views = sorted(v.name for v in definitions.views.values() if v.kind == "stream" and v.join_key == join_key)
    asked = {f"the archive of {t!r}": progress.archived(t) for t in sorted({*definitions.events, SNAPSHOTS})}
    asked |= {f"stream view {v!r}": progress.served(v) for v in views}
    return [
        f"{what} is needed until {due} and is {_far(ms)}" for what, ms in asked.items() if ms is None or ms < due_ms
    ]


def settled(
    settings: Settings,
    definitions: Definitions,
    progress: Progress,
    clock: Clock,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """On S3, waits until the archive job asks no more for the files that are there now.

    It may begin again from its last checkpoint, and then a file that it finished after that one must be as it was. An
    archive that is complete beyond now has had another checkpoint since.

    Raises:
        NotSettled: it is not that far in time; nothing was changed.
    """
    if not settings.lake.startswith("s3://"):
        return
    seen_ms, topics = clock.now_ms(), sorted({*definitions.events, SNAPSHOTS})
    for _ in range(round(SETTLE_S / POLL_S)):
        behind = [t for t in topics if (progress.archived(t) or 0) < seen_ms]
        if not behind:
            return
        wait(POLL_S)
    raise NotSettled(
        f"the archive of {', '.join(behind)} has not moved on in {SETTLE_S:.0f} s, so its files may not be changed "
        "yet: start the archive job, the reconciler and the heartbeat, and run it again"
    )


def _far(ms: int | None) -> str:
    return "not known" if ms is None else f"at {to_datetime(ms).isoformat(timespec='seconds')}"
