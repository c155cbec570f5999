"""What the naive twin says of labels: docs/labels.md, in small. LabelHistoriesTest and Spark are held against it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from adfeast.contract.label_states import (
    LATE_POSITIVE,
    NEGATIVE,
    POSITIVE,
    PROVISIONAL,
    REASONS,
    STATES,
    Label,
    LabelRules,
    Refused,
)
from adfeast.errors import SettingsError
from adfeast.settings import Settings
from tests.parity.label_histories import FILE, NAME, histories, lines, text
from tests.parity.naive_labels import Seen, label_of, stream, without_impression

RULES = LabelRules(100, 20, 4)
SHOWN = Seen(1_000)


def states(*arrivals: Seen | int) -> list[tuple[str, int, float, int]]:
    rows = [r for written in stream("i", arrivals, RULES) for r in written if isinstance(r, Label)]
    return [(r.state, r.label, r.weight, r.at_ms) for r in rows]


def test_an_impression_is_a_negative_at_once_and_weighs_more_as_its_window_passes() -> None:
    steps = [(PROVISIONAL, 0, n / 4, 1_000 + 25 * n) for n in range(4)]
    assert states(SHOWN, 1_099) == steps
    assert states(SHOWN, 1_100) == [*steps, (NEGATIVE, 0, 1.0, 1_100)]


def test_a_click_within_the_window_makes_a_positive_and_one_after_it_a_late_positive_that_stays_0() -> None:
    assert states(SHOWN, Seen(1_100, "c"))[-1] == (POSITIVE, 1, 1.0, 1_100)
    assert states(SHOWN, 1_100, Seen(1_101, "c"))[-2:] == [(NEGATIVE, 0, 1.0, 1_100), (LATE_POSITIVE, 0, 1.0, 1_101)]


def test_a_click_waits_for_its_impression_until_none_can_come_any_more() -> None:
    assert states(Seen(1_010, "c"), 1_099, SHOWN) == [(POSITIVE, 1, 1.0, 1_010)]
    waits = Seen(1_010, "c"), 1_010 + RULES.click_kept_ms - 1
    assert list(stream("i", waits, RULES)) == [[], []]
    assert list(stream("i", (*waits, waits[1] + 1), RULES))[-1] == [Refused("i", "c", 1_010)]


def test_a_click_of_a_fast_clock_is_named_and_changes_nothing_else() -> None:
    early = label_of("i", [SHOWN, Seen(999, "c")], RULES)
    assert early == replace(label_of("i", [SHOWN], RULES), clicks=1, clicks_before=1)


def test_the_last_row_of_timely_events_is_that_of_all_events_and_none_is_lost() -> None:
    seen: Counter[str] = Counter()
    for history in (h for h in histories() if h.timely and len(h.events) < 60):
        written = [r for rows in stream(NAME, history.arrivals, history.rules) for r in rows]
        rows = [r for r in written if isinstance(r, Label)]
        final = label_of(NAME, history.events, history.rules)
        assert (rows[-1] if rows else None) == final, history
        refused = {r for r in written if isinstance(r, Refused)}
        assert refused == set(without_impression(NAME, history.events, history.rules)), history
        messages = sum(1 for e in history.events if e.click_id)
        lost = {r.event_id for r in refused}
        told = final.clicks + final.duplicate_clicks if final else 0
        assert told + sum(1 for e in history.events if e.click_id in lost) == messages
        seen.update(r.state for r in rows)
    assert seen.keys() == set(STATES)


def test_the_order_of_events_changes_nothing() -> None:
    dice = random.Random(3)
    for history in histories()[:500]:
        order = history.events
        dice.shuffle(order)
        assert label_of(NAME, order, history.rules) == label_of(NAME, history.events, history.rules)


def test_the_histories_of_the_java_tests_are_these_and_break_and_keep_every_rule() -> None:
    made = text()
    assert "".join(lines()) == made, "run: python -m tests.parity.label_histories"
    assert all(made.count(f",{reason}") > 5 for reason in REASONS)
    assert FILE.stat().st_size < 300_000


def test_whoever_asks_for_states_that_are_not_kept_is_told_which_setting_keeps_them() -> None:
    with pytest.raises(SettingsError, match="label_window_s"):
        LabelRules.of(Settings())
    assert LabelRules.of(Settings(label_window_s=60)) == LabelRules(60_000, 600_000, 4)
