"""What a method of learning from delayed clicks is: which examples it makes of impressions, when, and what they weigh.

An impression x has a click within the label window with probability p(x); of such clicks a share s(x) comes later than
a wait. Nobody knows an impression's label before its window closes, and a model that waits for that learns nothing of
the last window. So a method makes examples earlier and corrects what is wrong with them: by weights of the log loss, or
of what the model says. A weight may use what the model thinks of p now, but no gradient goes through it.

**Unbiased** means here: over the clicks of an impression, the expectation of its examples' weighted losses is
p l1 + (1 - p) l0, with l1 = -ln f and l0 = -ln(1 - f), for every f; so the sum over impressions is, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NEARLY_ONE = 1 - 1e-12


@dataclass(frozen=True)
class Clicks:
    """What became of N impressions.

    Attributes:
        shown_s: [N], when.
        delay_s: [N], from impression to click; infinite where there is none.
        window_s: a click later than this is none.
    """

    shown_s: Floats
    delay_s: Floats
    window_s: float

    @property
    def clicked(self) -> NDArray[np.bool_]:
        """Final labels [N]."""
        return self.delay_s <= self.window_s


@dataclass(frozen=True)
class Examples:
    """M examples in the order in which they can be learnt.

    Attributes:
        row: [M], which impression.
        label: [M], 0 or 1.
        weight: [M], a fixed part of what it weighs.
        time_s: [M], when it becomes known.
    """

    row: Ints
    label: Floats
    weight: Floats
    time_s: Floats

    @classmethod
    def of(cls, *parts: tuple[NDArray[Any], float, float, Floats]) -> Examples:
        """Of (rows, label, weight, time of each row), put in order."""
        row = np.concatenate([p[0] for p in parts]).astype(np.int64)
        label = np.concatenate([np.full(len(p[0]), p[1]) for p in parts])
        weight = np.concatenate([np.full(len(p[0]), p[2]) for p in parts])
        time = np.concatenate([p[3] for p in parts]).astype(np.float64)
        order = np.lexsort((row, time))
        return cls(row[order], label[order], weight[order], time[order])

    def take(self, examples: NDArray[np.bool_] | slice) -> Examples:
        """Those of a mask or a slice."""
        return Examples(self.row[examples], self.label[examples], self.weight[examples], self.time_s[examples])


class Method(Protocol):
    """A method. It must never look at a click before its time, and must make the same examples every time."""

    @property
    def name(self) -> str:
        """As people say it."""
        ...

    @property
    def wait_s(self) -> float:
        """After which the share `late` of the clicks still comes."""
        ...

    def examples(self, clicks: Clicks) -> Examples:
        """Every example that is made of the impressions, however late."""
        ...

    def weight(self, label: Floats, p: Floats, late: Floats) -> Floats:
        """What the log loss of examples [M] weighs beside their fixed part.

        Args:
            p: what the model serves for them now.
            late: s of their impressions, P(delay > wait | a click within the window).
        """
        ...

    def serve(self, f: Floats, late: Floats) -> Floats:
        """The probability [N] of a click that an answer f [N] of the model means."""
        ...
