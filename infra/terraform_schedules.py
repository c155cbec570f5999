"""Which `adfeast` commands a deployment runs by the clock, and how often: one a batch view, and the training set.

Every command is safe to run twice and says what it waits for, so it is asked more often than there is something to do:
an interval whose input comes late is then made soon after it has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from adfeast.contract.definitions import Definitions, View
from training.data.completeness import GRACE as LABEL_GRACE
from training.data.intervals import GRACE, LATENESS

DAY = timedelta(days=1)
# So often is asked whether an interval can be made, in parts of it.
ASKED = 24
# What the view's rows are served for must hold this many intervals: one that fails is then not felt at once.
SPARE = 2
LABEL_WINDOW = timedelta(minutes=30)


def schedules(definitions: Definitions, service: str) -> dict[str, dict[str, Any]]:
    """Schedule to the role it runs in, its command, its interval, how late its input may be, how often it is asked."""
    batch = sorted((v for v in definitions.views.values() if v.kind == "batch"), key=lambda v: v.name)
    found = {f"materialize-{v.name}": _materialize(v) for v in batch}
    found["training-set"] = _training_set(service)
    return found


def interval(view: View) -> timedelta:
    """A day, or less where the view's rows would be too old before the interval after the next is made."""
    longest = timedelta(seconds=view.max_age_s) / SPARE
    return next((i for i in (DAY, *(timedelta(hours=h) for h in (12, 6, 3, 1))) if i <= longest), timedelta(minutes=15))


def _materialize(view: View) -> dict[str, Any]:
    every = interval(view)
    words = ["adfeast", "batch", "materialize", "--view", view.name, "--every", _span(every)]
    words += ["--lateness", _span(LATENESS), "--grace", _span(GRACE), "--json"]
    return _schedule("batch", words, every, LATENESS + GRACE, every / ASKED)


def _training_set(service: str) -> dict[str, Any]:
    """Yesterday's impressions, once their clicks are in; a name that is there already is left as it is."""
    day = '"$(date -u -d yesterday +%F)"'
    end = '"$(date -u +%F)"'
    made = f"adfeast batch labels --start {day} --end {end} --label-window {_span(LABEL_WINDOW)} --grace "
    made += f"{_span(LABEL_GRACE)} --name {service}-{day} --json"
    return _schedule("training", ["sh", "-c", made], DAY, LABEL_WINDOW + LABEL_GRACE, DAY / ASKED)


def _schedule(role: str, words: Sequence[str], every: timedelta, grace: timedelta, asked: timedelta) -> dict[str, Any]:
    return {
        "role": role,
        "command": list(words),
        "interval_s": _whole(every),
        "grace_s": _whole(grace),
        "rate_minutes": max(1, _whole(asked) // 60),
    }


def _span(length: timedelta) -> str:
    seconds = _whole(length)
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _whole(length: timedelta) -> int:
    return int(length.total_seconds())
