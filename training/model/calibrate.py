"""What the head corrects: Platt scaling of the logit (or its scale alone), drawn towards leaving it alone, and more.

With 45 clicks a free fit would follow noise, so the scale has a normal prior around 1 and the shift around 0; their
widths are those of a model that is off by a tenth or so in scale and by a factor of e in rate. With many clicks they
weigh nothing. A curve or shifts by slice (`training.model.calibrators`) may follow; `training.model.progressive` says
when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.model.calibrators import BySlice, Floats, Isotonic

SCALE_WIDTH, SHIFT_WIDTH = 0.2, 1.0
Linear = Literal["platt", "temperature"]


@dataclass(frozen=True)
class Calibration:
    """scale * logit + shift, and then a curve, or the shift of the row's slice, if there is one.

    Attributes:
        by: the id input that says of which slice a row is; each of its buckets is one.
    """

    scale: float = 1.0
    shift: float = 0.0
    curve: Isotonic | None = None
    slices: BySlice | None = None
    by: str = ""

    @property
    def method(self) -> str:
        """For people."""
        if self.slices:
            return f"by slice of {self.by}"
        return "isotonic" if self.curve else "scale and shift"

    def log_odds(self, logit: Floats, of: NDArray[np.integer] | None = None) -> Floats:
        """Of logits [N] of rows of the slices `of` [N], [N]."""
        found: Floats = self.scale * logit + self.shift
        if self.curve:
            found = self.curve.log_odds(found)
        if self.slices and of is not None:
            found = self.slices.log_odds(found, of)
        return found

    def probability(self, logit: Floats, of: NDArray[np.integer] | None = None) -> Floats:
        """Probabilities [N] of logits [N]."""
        p: Floats = 1 / (1 + np.exp(-self.log_odds(logit, of)))
        return p

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        found: dict[str, Any] = {"method": self.method, "scale": self.scale, "shift": self.shift}
        if self.curve:
            found |= {"at": self.curve.at.tolist(), "to": self.curve.to.tolist()}
        if self.slices:
            found |= {"by": self.by, "shifts": self.slices.shift.tolist(), "spread": self.slices.spread}
        return found


def fit(
    logit: NDArray[Any],
    label: NDArray[Any],
    weight: NDArray[Any] | None = None,
    method: Linear = "platt",
    steps: int = 100,
) -> Calibration:
    """The calibration of logits [N] (after the downsampling correction) to labels [N].

    Newton's method on a strictly convex loss in two unknowns, halving a step that does not descend.

    Args:
        method: `platt` fits scale and shift (Platt, Probabilistic Outputs for Support Vector Machines, 1999);
            `temperature` the scale alone, around even odds (Guo et al., On Calibration of Modern Neural Networks,
            2017).
    """
    z, y = np.asarray(logit, np.float64), np.asarray(label, np.float64)
    w = np.ones_like(z) if weight is None else np.asarray(weight, np.float64)
    if not len(z):
        return Calibration()
    both = method == "platt"
    centre = float(np.average(z, weights=w)) if both else 0.0  # there scale and shift are nearly independent
    x = np.stack([z - centre, np.ones_like(z)]) if both else z[None]
    start, precision = np.array([1.0, 0.0]), np.array([SCALE_WIDTH**-2, SHIFT_WIDTH**-2])
    start, precision = start[: len(x)], precision[: len(x)]

    def loss(theta: NDArray[np.float64]) -> float:
        total = theta @ x + centre
        return float(w @ (np.logaddexp(0, total) - y * total) + 0.5 * precision @ (theta - start) ** 2)

    theta, value = start, loss(start)
    for _ in range(steps):
        p = 1 / (1 + np.exp(-(theta @ x + centre)))
        gradient = x @ (w * (p - y)) + precision * (theta - start)
        step = np.linalg.solve((x * (w * p * (1 - p))) @ x.T + np.diag(precision), gradient)
        while (new := loss(theta - step)) > value and np.abs(step).max() > 1e-12:
            step = step / 2
        theta, moved, value = theta - step, np.abs(step).max(), new
        if moved < 1e-10:
            break
    scale, shift = theta if both else (theta[0], 0.0)
    return Calibration(float(scale), float(shift + centre - scale * centre))
