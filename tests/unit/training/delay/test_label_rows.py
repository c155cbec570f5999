"""The rows of labels, as the stream writes them, are what the linear weight learns from."""

from __future__ import annotations

import numpy as np

from adfeast.contract.label_states import Label, LabelRules
from tests.parity.naive_labels import Seen, stream
from training.delay.method import Clicks
from training.delay.waiting import Linear

RULES = LabelRules(window_ms=1_000, grace_ms=100, steps=4)
DELAYS_MS = (0, 1, 249, 250, 251, 500, 999, 1_000, 1_001, 1_050, None)


def test_what_a_label_gains_in_weight_is_an_example_of_the_linear_method() -> None:
    made = []
    for row, delay in enumerate(DELAYS_MS):
        shown = 1_000 + row
        events = [Seen(shown), *([] if delay is None else [Seen(shown + delay, "c")])]
        # On time: what happened at a moment comes before the watermark that says so.
        timed = [(e.ms, 0, e) for e in events] + [(t, 1, t) for t in range(shown, shown + 1_100)]
        arrivals = [arrival for _, _, arrival in sorted(timed, key=lambda a: a[:2])]
        weight = 0.0
        for label in (r for rows in stream("i", arrivals, RULES) for r in rows if isinstance(r, Label)):
            gained = label.weight if label.label else label.weight - weight
            if gained > 0:
                made.append((label.at_ms / 1000, row, label.label, gained))
            weight = label.weight
    found = Linear(steps=RULES.steps).examples(
        Clicks(
            1 + np.arange(len(DELAYS_MS)) / 1000,
            np.array([np.inf if d is None else d / 1000 for d in DELAYS_MS]),
            RULES.window_ms / 1000,
        )
    )
    wanted = zip(found.time_s.round(9), found.row, found.label, found.weight, strict=True)
    assert sorted(made) == sorted((float(t), int(r), int(y), float(w)) for t, r, y, w in wanted)
