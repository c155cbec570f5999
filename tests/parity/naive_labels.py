"""The obviously correct twin of label states: an impression's row from the whole list of its events, at any watermark.

Rules: docs/labels.md. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adfeast.contract.label_states import (
    CROWDED,
    EXPIRED,
    LATE_POSITIVE,
    MOST_CLICKS,
    NEGATIVE,
    POSITIVE,
    PROVISIONAL,
    WITHOUT_IMPRESSION,
    Label,
    LabelRules,
    Refused,
)

NEVER, FOREVER = -(1 << 62), 1 << 62


@dataclass(frozen=True)
class Seen:
    """An impression, or a click on it.

    Attributes:
        click_id: None for the impression itself.
    """

    ms: int
    click_id: str | None = None


def label_of(name: str, events: Sequence[Seen], rules: LabelRules, watermark: int = FOREVER) -> Label | None:
    """The row of impression `name` when these are its events and time is at `watermark`; None without an impression."""
    impressions = [e.ms for e in events if e.click_id is None]
    if not impressions:
        return None
    shown = min(impressions)
    closes = shown + rules.window_ms
    own = [e for e in clicks(events).values() if belongs(e.ms, shown, rules)]
    hits = [e.ms for e in own if shown <= e.ms <= closes]
    late = [e.ms for e in own if e.ms > closes]
    step = max([0, *(n for n in range(1, rules.steps + 1) if watermark >= shown + rules.step_ms(n))])
    if hits:
        state, at, clicked = POSITIVE, min(hits), min(hits)
    elif step < rules.steps:
        state, at, clicked = PROVISIONAL, shown + rules.step_ms(step), None
    elif late:
        state, at, clicked = LATE_POSITIVE, min(late), min(late)
    else:
        state, at, clicked = NEGATIVE, closes, None
    return Label(
        impression_id=name,
        state=state,
        label=1 if state == POSITIVE else 0,
        weight=step / rules.steps if state == PROVISIONAL else 1.0,
        at_ms=at,
        shown_ms=shown,
        clicked_ms=clicked,
        duplicate_impressions=len(impressions) - 1,
        clicks=len(own),
        duplicate_clicks=sum(1 for e in events if e.click_id in {o.click_id for o in own}) - len(own),
        clicks_before=sum(1 for e in own if e.ms < shown),
        clicks_late=len(late),
    )


def without_impression(name: str, events: Sequence[Seen], rules: LabelRules) -> list[Refused]:
    """The clicks that belong to no impression, each once."""
    impressions = [e.ms for e in events if e.click_id is None]
    lost = [e for e in clicks(events).values() if not impressions or not belongs(e.ms, min(impressions), rules)]
    return [Refused(name, str(e.click_id), e.ms) for e in lost]


def clicks(events: Sequence[Seen]) -> dict[str, Seen]:
    """Id to click, the earliest if it was sent with several times."""
    found: dict[str, Seen] = {}
    for e in sorted((e for e in events if e.click_id is not None), key=lambda e: e.ms):
        found.setdefault(str(e.click_id), e)
    return found


def belongs(clicked: int, shown: int, rules: LabelRules) -> bool:
    """Whether a click can be one on an impression that was shown then."""
    return shown - rules.grace_ms <= clicked <= shown + rules.window_ms + rules.grace_ms


def stream(name: str, arrivals: Sequence[Seen | int], rules: LabelRules) -> Iterator[list[Label | Refused]]:
    """What the stream job writes at each arrival: an event, or a new watermark."""
    kept: list[Seen] = []
    watermark = NEVER
    last: Label | None = None
    for arrival in arrivals:
        written: list[Label | Refused] = []
        if isinstance(arrival, Seen):
            if refused := _untimely(name, arrival, rules, watermark):
                yield [refused]
                continue
            kept.append(arrival)
            for crowded in sorted(clicks(kept).values(), key=lambda e: (e.ms, str(e.click_id)))[MOST_CLICKS:]:
                kept = [e for e in kept if e.click_id != crowded.click_id]
                written.append(Refused(name, str(crowded.click_id), crowded.ms, CROWDED))
        for now in [watermark] if isinstance(arrival, Seen) else _changes(kept, rules, watermark, arrival):
            watermark = now
            row = label_of(name, kept, rules, watermark)
            if row and row != last:
                written.append(row)
            last = row
            kept, over = _forget(name, kept, rules, watermark)
            written += over
            last = last if any(e.click_id is None for e in kept) else None
        yield written


def _untimely(name: str, event: Seen, rules: LabelRules, watermark: int) -> Refused | None:
    if event.click_id is None:
        over = event.ms + rules.impression_kept_ms <= watermark
        return Refused(name, name, event.ms, EXPIRED) if over else None
    over = event.ms + rules.click_kept_ms <= watermark
    return Refused(name, event.click_id, event.ms, WITHOUT_IMPRESSION) if over else None


def _changes(kept: Sequence[Seen], rules: LabelRules, since: int, until: int) -> list[int]:
    """The times between two watermarks at which something can change without an event, and the second."""
    ages = [rules.step_ms(n) for n in range(1, rules.steps + 1)] + [rules.impression_kept_ms]
    times = {e.ms + age for e in kept for age in (ages if e.click_id is None else [rules.click_kept_ms])}
    return [*sorted(t for t in times if since < t < until), until]


def _forget(name: str, kept: list[Seen], rules: LabelRules, watermark: int) -> tuple[list[Seen], list[Refused]]:
    impressions = [e.ms for e in kept if e.click_id is None]
    if impressions and min(impressions) + rules.impression_kept_ms <= watermark:
        own = clicks([e for e in kept if e.click_id])
        over = {i for i, e in own.items() if belongs(e.ms, min(impressions), rules)}
        kept = [e for e in kept if e.click_id is not None and e.click_id not in over]
    lost = [e for e in clicks(kept).values() if e.ms + rules.click_kept_ms <= watermark]
    refused = [Refused(name, str(e.click_id), e.ms) for e in sorted(lost, key=lambda e: (e.ms, str(e.click_id)))]
    return [e for e in kept if e.click_id not in {r.event_id for r in refused}], refused
