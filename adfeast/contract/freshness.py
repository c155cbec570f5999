"""How old the values of a stream view may be, judged by the view's own watermark.

Every row of a view follows from the events up to its watermark. The row itself does not say how old it is: a counter of
somebody who does nothing is right for hours, and looks the same when the job that would lower it is dead.
"""

from __future__ import annotations

# How far an event may come behind the newest one of its partition and still count: so far a watermark lies behind even
# when all is well.
WATERMARK_DELAY_MS = 5_000
# On top of it: the second between two time marks, the way through Kafka, Flink and the writer, and the server's poll.
ROOM_S = 3
FRESH_WITHIN_S = 15  # of a view that says nothing else
LEAST_FRESH_WITHIN_S = WATERMARK_DELAY_MS // 1000 + ROOM_S
# Of a view's events of the last minute, the share that may be late or not readable before somebody must look.
MOST_REFUSED = 0.01


def is_stale(watermark_ms: int | None, at_ms: int, fresh_within_s: float, replay_speed: float = 1.0) -> bool:
    """Whether a view's values at `at_ms` are older than the view promises; so are those of an unknown watermark.

    Args:
        replay_speed: seconds of event time that pass in one of the wall clock; the promise is of the wall clock.
    """
    return watermark_ms is None or at_ms - watermark_ms > fresh_within_s * 1000 * replay_speed
