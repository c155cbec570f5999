"""Whether a job's input is all there: done means that it was complete.

A time is complete in a topic when the archive says so (adfeast.watermarks): everything that happened until then lies in
finished files. Whoever makes an interval final asks for its end and `GRACE` more, because a sender may be late; so no
interval is made that ended less than `GRACE` before the clock.
"""

from __future__ import annotations

from datetime import timedelta

from adfeast.clock import Clock, to_datetime
from adfeast.settings import Settings
from adfeast.watermarks import archived_until
from training.errors import NotComplete

GRACE = timedelta(minutes=5)  # how long after it happened an event may reach the archive and still count


def require(settings: Settings, needs: dict[str, int], clock: Clock) -> None:
    """Refuses to go on before the archive is complete.

    Args:
        needs: topic to the event time, in milliseconds since 1970, up to which its archive must be complete.

    Raises:
        NotComplete: a topic's archive is not that far, or the time lies after the clock's, so that nobody can know yet;
            the message names every such topic, how far its archive is and what is needed.
    """
    known, now = archived_until(settings), clock.now_ms()
    behind = []
    for topic, needed in needs.items():
        have = known.get(topic)
        if have is None:
            behind.append(f"{topic!r} is needed until {_text(needed)}, but nobody has said how far its archive is")
        elif have < needed:
            behind.append(f"{topic!r} is needed until {_text(needed)}, but its archive is complete until {_text(have)}")
        elif needed > now:
            behind.append(f"{topic!r} is needed until {_text(needed)}, which is after the clock's {_text(now)}")
    if behind:
        raise NotComplete(behind)


def _text(ms: int) -> str:
    return to_datetime(ms).isoformat(timespec="milliseconds")
