"""How long clicks take, fitted to those that have come.

Of young impressions only the quick clicks are known, so the delays that were seen are too short: each was seen only
because it was at most as long as its impression is old (right truncation). The estimate therefore goes backwards in
time: of the clicks with a delay up to t whose impressions are at least t old, the share with a delay of just t is the
reverse hazard r(t), and P(delay <= t) is the product of 1 - r(u) over u > t (Lynden-Bell 1971; Woodroofe, Estimating a
Distribution Function with Truncated Data, 1985). Times are the edges of a grid, so a fit is a few counts for each.

A slice (a category, say) has an estimate of its own as far as it has clicks: its reverse hazard is drawn towards that
of all by as much as `PRIOR` clicks would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.model.errors import NoClicks

Floats = NDArray[np.float64]
CELLS = 96
FIRST_S = 0.1
PRIOR = 20.0


@dataclass(frozen=True)
class DelayModel:
    """P(delay <= t | a click comes within the window), by slice.

    Attributes:
        edges_s: [K], rising, from 0 to the window.
        within: [S + 1, K], the probability up to each edge; the last row is that of all slices.
        clicks: [S + 1], that were seen.
    """

    edges_s: Floats
    within: Floats
    clicks: NDArray[np.int64]

    @property
    def window_s(self) -> float:
        return float(self.edges_s[-1])

    def at_most(self, elapsed_s: Floats | float, of: NDArray[np.integer] | None = None) -> Floats:
        """Probability [N] that a click which comes within the window comes within `elapsed_s` [N].

        Args:
            of: slice [N] of each, as it was counted in the fit; one that was not counted, or None, is that of all.
        """
        elapsed = np.asarray(elapsed_s, np.float64)
        last = len(self.within) - 1
        row = np.full(elapsed.shape, last) if of is None else np.where((of >= 0) & (of < last), of, last)
        elapsed, row = np.broadcast_arrays(np.clip(elapsed, 0.0, self.window_s), row)
        cell = np.clip(np.searchsorted(self.edges_s, elapsed, side="right"), 1, len(self.edges_s) - 1)
        low, high = self.edges_s[cell - 1], self.edges_s[cell]
        part = (elapsed - low) / (high - low)
        begin = self.within[row, cell - 1]
        found: Floats = begin + part * (self.within[row, cell] - begin)
        return found

    def later_than(self, wait_s: float, of: NDArray[np.integer] | None = None) -> Floats:
        """Probability that a click which comes within the window comes after `wait_s`; [N] as `of`."""
        return 1 - self.at_most(np.full(1 if of is None else of.shape, wait_s), of)


def fit(
    delay_s: NDArray[Any],
    age_s: NDArray[Any],
    window_s: float,
    of: NDArray[np.integer] | None = None,
) -> DelayModel:
    """Fits the delays of the clicks that have come.

    Where no impression is as old as the window, what comes after the oldest one's age is taken not to come.

    Args:
        delay_s: [N], of each impression's click; infinite where none has come.
        age_s: [N], how long ago the impression was.
        window_s: a click later than this is none.
        of: slice [N], from 0.

    Raises:
        NoClicks: no click has come within the window.
    """
    known = np.flatnonzero(delay_s <= np.minimum(age_s, window_s))
    if not len(known):
        raise NoClicks(f"none of {len(delay_s)} impressions has a click within {window_s:g} s: no delay can be fitted")
    edges = np.concatenate([[0.0], np.geomspace(min(FIRST_S, window_s / 2), window_s, CELLS)])
    edges[-1] = window_s
    own = np.zeros(len(known), np.int64) if of is None else np.asarray(of)[known].astype(np.int64)
    slices = int(own.max()) + 1
    begin = np.searchsorted(edges, delay_s[known])  # the first edge that is not below the delay
    end = np.searchsorted(edges, np.minimum(age_s[known], window_s), side="right")  # the first that is above the age
    seen = begin < end
    shape = (slices, len(edges) + 1)
    at = np.ravel_multi_index((own[seen], begin[seen]), shape)
    gone = np.ravel_multi_index((own[seen], end[seen]), shape)
    size = slices * shape[1]
    event = np.bincount(at, minlength=size).reshape(shape)
    exposed = np.cumsum(event - np.bincount(gone, minlength=size).reshape(shape), axis=1)
    event, exposed = event[:, :-1], exposed[:, :-1]
    overall = event.sum(0) / np.maximum(exposed.sum(0), 1)
    each = (event + PRIOR * overall) / (exposed + PRIOR)
    hazard = np.concatenate([each, overall[None]])
    return DelayModel(edges, _within(hazard), np.append(np.bincount(own), len(known)))


def _within(hazard: Floats) -> Floats:
    """Products of 1 - hazard over all later edges, [S, K]."""
    later = np.cumprod((1 - hazard)[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([later[:, 1:], np.ones((len(hazard), 1))], axis=1)
