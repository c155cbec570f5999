"""Methods that take an impression for a negative after a wait, and its click, when it comes later, for a positive.

The stream holds, for an impression, positives with mass p and negatives with mass 1 - p + d, where d = p s are those
that turn out to be clicks; together 1 + d. So a model of the plain log loss comes to f = p / (1 + d).

**On the factor 1 + d.** The papers weigh both outcomes by the ratio of the probabilities given x, p / (p / (1 + d)) and
(1 - p) / ((1 - p + d) / (1 + d)), which leaves out that the stream also holds x itself 1 + d times. With the ratio for
(x, y) the factor cancels: weights 1 and (1 - p) / (1 - p + d). Both have their minimum at f = p where a model can say
p(x) for every x; where it cannot, the papers' form prefers impressions with late clicks. The form here is unbiased.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.delay.method import NEARLY_ONE, Clicks, Examples, Floats


@dataclass(frozen=True)
class ElapsedTimeSampling:
    """ES-DFM (Yang et al., Capturing Delayed Feedback in Conversion Rate Prediction via Elapsed-Time Sampling, 2021).

    The loss is y l1 + (1 - y) rn l0 with rn = (1 - p) / (1 - p + d): unbiased, as p l1 + (1 - p + d) rn l0 says. rn is
    the probability that who has not clicked after the wait will not. The paper learns d and rn with heads of their own;
    here d = p s with the fitted delay and p as the model says it now, whose fixed point is p for any wait: the gradient
    -p / f + (1 - p + p s) (1 - f) / (1 - f + f s) / (1 - f) is 0 where p (1 - f (1 - s)) = f (1 - p (1 - s)).
    """

    wait_s: float
    name: str = "ES-DFM"

    def examples(self, clicks: Clicks) -> Examples:
        """See `Method.examples`."""
        return _early(clicks, self.wait_s)

    def weight(self, label: Floats, p: Floats, late: Floats) -> Floats:
        """See `Method.weight`."""
        none = 1 - np.minimum(p, NEARLY_ONE)
        return np.where(label > 0, 1.0, none / (none + p * late))

    def serve(self, f: Floats, late: Floats) -> Floats:
        """See `Method.serve`."""
        return f


@dataclass(frozen=True)
class FakeNegativeWeighted:
    """FNW (Ktena et al., Addressing Delayed Feedback for Continuous Training, 2019, section 3.2): no wait at all.

    ES-DFM with s = 1, so d = p: the loss is y l1 + (1 - y)(1 - p) l0. Unbiased. With a wait its weights would be wrong,
    because clicks within the wait are no negatives first: then it is ES-DFM's that are right.
    """

    wait_s: float = field(default=0.0, init=False)
    name: str = "FNW"

    def examples(self, clicks: Clicks) -> Examples:
        """See `Method.examples`."""
        return _early(clicks, self.wait_s)

    def weight(self, label: Floats, p: Floats, late: Floats) -> Floats:
        """See `Method.weight`."""
        return np.where(label > 0, 1.0, 1 - p)

    def serve(self, f: Floats, late: Floats) -> Floats:
        """See `Method.serve`."""
        return f


@dataclass(frozen=True)
class FakeNegativeCalibration:
    """FNC (Ktena et al. 2019, section 3.3): the plain log loss; what is served is corrected.

    The model comes to f = p / (1 + p s), so p = f / (1 - f s); without a wait s = 1, and that is the paper's
    f / (1 - f). Here it is exact with a wait, too. The loss is not unbiased, the answer is.
    """

    wait_s: float = 0.0
    name: str = "FNC"

    def examples(self, clicks: Clicks) -> Examples:
        """See `Method.examples`."""
        return _early(clicks, self.wait_s)

    def weight(self, label: Floats, p: Floats, late: Floats) -> Floats:
        """See `Method.weight`."""
        return np.ones_like(label)

    def serve(self, f: Floats, late: Floats) -> Floats:
        """See `Method.serve`; an f above 1 / (1 + s), which no rate leads to, is served as 1."""
        return f / np.maximum(1 - f * late, f)


def _early(clicks: Clicks, wait_s: float) -> Examples:
    """Each impression at the end of the wait, as it is then; a later click again when it comes."""
    early = clicks.delay_s <= min(wait_s, clicks.window_s)
    seen = clicks.shown_s + wait_s
    quick, other = np.flatnonzero(early), np.flatnonzero(~early)
    late = np.flatnonzero(clicks.clicked & ~early)
    return Examples.of(
        (quick, 1.0, 1.0, seen[quick]),
        (other, 0.0, 1.0, seen[other]),
        (late, 1.0, 1.0, (clicks.shown_s + clicks.delay_s)[late]),
    )
