"""The obviously correct twin of the stream function: every value is computed from the whole list of events.

Semantics: docs/semantics.md. Times are milliseconds, windows seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from adfeast.contract.definitions import Aggregation, View
from adfeast.contract.events import EVENT_ID, EVENT_TIME

Event = Mapping[str, Any]
Values = dict[str, float]


@dataclass(frozen=True)
class Emitted:
    """What the stream function is to write: the values of a key from a time on."""

    key: str
    ms: int
    values: tuple[tuple[str, float], ...]


def value(aggregation: Aggregation, events: Iterable[Event], t: int) -> float:
    """Value at time t of one aggregation over the events of one key, none of them twice."""
    known = sorted((e for e in events if e[EVENT_TIME] <= t), key=lambda e: e[EVENT_TIME])
    window, slide = aggregation.window_s * 1000, aggregation.slide_s * 1000
    if aggregation.function == "session_count":
        count, later = 0, t
        for e in reversed(known):
            if later - e[EVENT_TIME] > window:
                break
            count, later = count + 1, e[EVENT_TIME]
        return count
    first = (t // slide - window // slide + 1) * slide
    covered = [e for e in known if e[EVENT_TIME] >= first]
    return sum(e[aggregation.column] for e in covered) if aggregation.function == "sum" else len(covered)


def changes(aggregation: Aggregation, event: Event) -> int:
    """The only time after an event at which its leaving can change the value."""
    window, slide = aggregation.window_s * 1000, aggregation.slide_s * 1000
    if aggregation.function == "session_count":
        return int(event[EVENT_TIME]) + window + 1
    return int(event[EVENT_TIME]) // slide * slide + window


def emissions(view: View, arrivals: Iterable[Event], late: set[str], until: int) -> tuple[list[Emitted], list[str]]:
    """What a view emits for events in the order they arrived, up to time `until`, and the ids that are late.

    Args:
        late: ids of the events that came behind the watermark.
    """
    horizon = max(a.window_s for a in view.aggregations) * 1000
    counted: dict[str, list[Event]] = {}
    now: dict[str, int] = {}
    last: dict[str, Values] = {}
    emitted: list[Emitted] = []
    refused: list[str] = []

    def emit(key: str, t: int) -> None:
        values = {a.feature: value(a, counted[key], t) for a in view.aggregations}
        if last.get(key) != values:
            last[key] = values
            emitted.append(Emitted(key, t, tuple(sorted(values.items()))))

    def pass_time(key: str, to: int) -> None:
        for t in sorted({changes(a, e) for a in view.aggregations for e in counted[key]}):
            if now[key] < t <= to:
                emit(key, t)
                now[key] = t

    for event in arrivals:
        key, t = event[view.join_key], event[EVENT_TIME]
        events = counted.setdefault(key, [])
        if any(e[EVENT_ID] == event[EVENT_ID] and e[EVENT_TIME] + horizon > max(now.get(key, 0), t) for e in events):
            continue
        if event[EVENT_ID] in late or t <= now.get(key, 0) - horizon:
            refused.append(event[EVENT_ID])
            continue
        now.setdefault(key, t)
        pass_time(key, t - 1)
        events.append(event)
        now[key] = max(now[key], t)
        emit(key, now[key])
    for key in counted:
        if counted[key]:
            pass_time(key, until)
    return emitted, refused
