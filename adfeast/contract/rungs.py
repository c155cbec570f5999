"""The rungs of the ladder that a score comes down when something is away; see docs/adr/0014-the-auction-never-waits.md.

In the log of a request the rungs of its candidates are a text of one digit a candidate, or of one digit when all are
the same; the empty text of older logs stands for `FRESH`, for then there was no other.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Rung(IntEnum):
    """How a score was made, the best first; the numbers are those of adfeast.proto."""

    FRESH = 1  # by the model, from all that the stores hold
    CACHED = 2  # by the same model, for the same user and ad, some seconds ago
    PARTIAL = 3  # by the model, without the values of a store that was not read (real-time features, above all)
    AD_CTR = 4  # the ad's own click rate in what the model learnt from
    PRIOR = 5  # the click rate of all that the model learnt from

    @property
    def text(self) -> str:
        """As people, metrics and training sets read it."""
        return self.name.lower()


def to_text(rungs: NDArray[np.uint8]) -> str:
    """One digit a candidate, or one for all."""
    if len(rungs) and (rungs == rungs[0]).all():
        return str(int(rungs[0]))
    return (rungs + ord("0")).astype(np.uint8).tobytes().decode("ascii")


def from_text(text: str, candidates: int) -> NDArray[np.uint8]:
    """uint8 [candidates], a `Rung` each.

    Raises:
        ValueError: it is no text of so many rungs.
    """
    if len(text) <= 1:
        return np.full(candidates, Rung(int(text)) if text else Rung.FRESH, np.uint8)
    found = np.frombuffer(text.encode(), np.uint8) - ord("0")
    if len(found) != candidates or not np.isin(found, list(Rung)).all():
        raise ValueError(f"rungs {text[:20]!r} are not those of {candidates} candidates")
    return found
