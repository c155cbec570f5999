"""Refuses rows from the future before they reach an online store.

Stores keep the newest row of a key, so one row whose time is wrong by a year shuts out every true row for a year.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.utils import make_tzaware

from adfeast.clock import Clock, to_datetime
from adfeast.feast_ext.errors import FutureRow

TOLERANCE = timedelta(seconds=60)  # between the clocks of two hosts


def refuse_future(view: str, rows: Sequence[tuple[EntityKey, Any, datetime, Any]], clock: Clock) -> None:
    """Looks at every row of a batch.

    Raises:
        FutureRow: names the view, the key and the time of the newest row, which lies after the clock.
    """
    if not rows:
        return
    key, _, moment, _ = max(rows, key=lambda row: make_tzaware(row[2]))
    moment, now = make_tzaware(moment), to_datetime(clock.now_ms())
    if moment > now + TOLERANCE:
        values = (getattr(v, v.WhichOneof("val") or "string_val") for v in key.entity_values)
        names = ", ".join(f"{name}={value!r}" for name, value in zip(key.join_keys, values, strict=True))
        raise FutureRow(
            f"view {view!r}: the row of {names} has event time {moment.isoformat()}, more than "
            f"{TOLERANCE.total_seconds():g} s after the clock ({now.isoformat(timespec='seconds')}): "
            "nothing of its batch was written, correct its time"
        )
