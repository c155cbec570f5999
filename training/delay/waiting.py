"""Methods without a model of the delay: wait until the label is final, or weigh a negative by its age."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.delay.method import Clicks, Examples, Floats


@dataclass(frozen=True)
class Wait:
    """One example an impression, when its window has closed.

    Unbiased, and always a window behind. A click is not taken earlier although it is final: until the negatives of the
    same time have come, the rate would be too high.
    """

    wait_s: float
    name: str = "wait"

    def examples(self, clicks: Clicks) -> Examples:
        """See `Method.examples`."""
        closed = clicks.shown_s + clicks.window_s
        parts = ((np.flatnonzero(clicks.clicked == bool(y)), float(y)) for y in (0, 1))
        return Examples.of(*((rows, label, 1.0, closed[rows]) for rows, label in parts))

    def weight(self, label: Floats, p: Floats, late: Floats) -> Floats:
        """See `Method.weight`."""
        return np.ones_like(label)

    def serve(self, f: Floats, late: Floats) -> Floats:
        """See `Method.serve`."""
        return f


@dataclass(frozen=True)
class Linear:
    """A click at once; no click yet is a negative whose weight grows with its age to 1 at the end of the window.

    As a stream: at the end of each of `steps` equal parts of the window, what is not clicked is a negative of weight
    1 / steps. A click with delay D has then counted as a negative by about D / W before, so the expected loss is
    p l1 + (1 - p + p E[D] / W) l0, with D among clicks within the window W. It is **biased**: the model comes to odds
    of p / (1 - p + p E[D] / W), too low by a factor of about 1 - p E[D] / W; little where clicks are rare or quick.
    What is wrong in any moment is more: young impressions have had all their quick clicks and hardly a negative, so
    right after traffic has risen the rate is too high, and after it has fallen too low.
    """

    wait_s: float = field(default=0.0, init=False)
    steps: int = 4
    name: str = "linear weight"

    def examples(self, clicks: Clicks) -> Examples:
        """See `Method.examples`."""
        hit = np.flatnonzero(clicks.clicked)
        parts = [(hit, 1.0, 1.0, (clicks.shown_s + clicks.delay_s)[hit])]
        for n in range(1, self.steps + 1):
            age = n / self.steps * clicks.window_s
            rows = np.flatnonzero(clicks.delay_s > age)
            parts.append((rows, 0.0, 1 / self.steps, clicks.shown_s[rows] + age))
        return Examples.of(*parts)

    def weight(self, label: Floats, p: Floats, late: Floats) -> Floats:
        """See `Method.weight`."""
        return np.ones_like(label)

    def serve(self, f: Floats, late: Floats) -> Floats:
        """See `Method.serve`."""
        return f
