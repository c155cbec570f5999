"""DEFER: every impression twice, as it is after a wait and as it turned out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.delay.method import NEARLY_ONE, Clicks, Examples, Floats


@dataclass(frozen=True)
class RealNegatives:
    """DEFER (Gu et al., Real Negatives Matter: Continuous Training with Real Negatives for Delayed Feedback, 2021).

    First as it is when the wait is over, then a late click when it comes and all else when its window has closed. An
    impression is always two examples, so x is not distorted; half of their mass is p - d / 2 of positives and
    1 - p + d / 2 of negatives, with d = p s. The loss of an example weighs half of
    y p / (p - d / 2) l1 + (1 - y)(1 - p) / (1 - p + d / 2) l0: unbiased. p cancels in the first: 1 / (1 - s / 2).
    """

    wait_s: float
    name: str = "DEFER"

    def examples(self, clicks: Clicks) -> Examples:
        """See `Method.examples`."""
        early = clicks.delay_s <= min(self.wait_s, clicks.window_s)
        late = clicks.clicked & ~early
        first, closed = clicks.shown_s + self.wait_s, clicks.shown_s + clicks.window_s
        final = np.where(late, clicks.shown_s + np.where(late, clicks.delay_s, 0.0), closed)
        parts = []
        for label, time in ((early, first), (clicks.clicked, final)):
            for y in (0, 1):
                rows = np.flatnonzero(label == bool(y))
                parts.append((rows, float(y), 0.5, time[rows]))
        return Examples.of(*parts)

    def weight(self, label: Floats, p: Floats, late: Floats) -> Floats:
        """See `Method.weight`."""
        none = 1 - np.minimum(p, NEARLY_ONE)
        return np.where(label > 0, 1 / (1 - late / 2), none / (none + p * late / 2))

    def serve(self, f: Floats, late: Floats) -> Floats:
        """See `Method.serve`."""
        return f
