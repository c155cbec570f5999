"""A model learns hour by hour on a world while clicks are still to come, by each method of `training.delay`.

It is pretrained on the impressions whose label window has closed when the stream begins. Then, each hour, it learns
the examples that have become known and answers the impressions of the hour. The oracle learns each impression with its
final label at once; the pretrained model learns nothing more. All answers are judged by the true rates, so clicks that
happened to come in the judged hours add no noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.hashed_lr import HashedLogistic, columns, sigmoid
from training.delay import distribution
from training.delay.method import Clicks, Examples, Method
from training.delay.table import methods
from training.sampling import chosen, corrected, distorted
from training.world import oracle
from training.world.spec import WorldSpec
from training.world.traffic import World, make

Floats = NDArray[np.float64]
HOUR_S = 3600.0
BATCH = 256
PRETRAINED, ORACLE = "pretrained", "oracle"


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
        pretrain_days: before the stream begins.
        window_s: label window; wait_s: of the methods that wait a little.
        negatives: share of the negatives that is learnt from, by a hash of the impression's id.
    """

    spec: WorldSpec
    pretrain_days: float
    window_s: float
    wait_s: float
    negatives: float = 1.0


@dataclass(frozen=True)
class Measured:
    """One way of learning: mean expected log loss and AUC over the hours of the stream, and RI of both.

    RI = (method - pretrained) / (oracle - pretrained): 0 for a model that stays as it was, 1 for final labels at once.
    """

    name: str
    log_loss: float
    auc: float
    ri_log_loss: float
    ri_auc: float


class Stream:
    """One world, and the model that was pretrained on it.

    Attributes:
        shown_s: [N], seconds since the world began; begin_s: when the stream begins.
        truth: [N], the true rates of a click within the window.
        columns: [N, F], what the model takes.
        first_fresh: the first impression that pretraining has not seen; its window had not closed.
        delays: as they were known when the stream begins, by category.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.world: World = make(sizes.spec)
        shown = self.world.impressions
        self.shown_s = (shown.time_ms - sizes.spec.start_ms) / 1000
        self.clicks = Clicks(self.shown_s, shown.delay_s, sizes.window_s)
        self.truth = self.world.click_rate(sizes.window_s)
        self.columns = columns(self.world)
        self.begin_s = sizes.pretrain_days * 24 * HOUR_S
        ids = (f"i{n}" for n in range(len(shown)))
        self._negatives = chosen(ids, sizes.negatives) if sizes.negatives < 1 else np.ones(len(shown), np.bool_)
        age = self.begin_s - self.shown_s
        past = age > 0
        known = (self.clicks.delay_s[past], age[past], sizes.window_s, self.world.category[past])
        self.delays = distribution.fit(*known)
        closed = np.flatnonzero(self.shown_s + sizes.window_s <= self.begin_s)
        label = self.clicks.clicked[closed].astype(np.float64)
        self.first_fresh = len(closed)
        rate = float(distorted(label.mean(), sizes.negatives))
        self.pretrained = HashedLogistic(float(np.log(rate / (1 - rate))))
        self._learn(self.pretrained, closed, label, np.ones(len(closed)), lambda label, p, rows: np.ones_like(label))

    def measure(self) -> list[Measured]:
        """The pretrained model, the oracle, and every method."""
        at_once = np.arange(self.first_fresh, len(self.shown_s))
        label = self.clicks.clicked[at_once].astype(np.float64)
        final = Examples(at_once, label, np.ones(len(at_once)), self.shown_s[at_once])
        low, high = self._run(final.take(slice(0)), None), self._run(final, None)
        found = {PRETRAINED: low, ORACLE: high}
        for method in methods(self.sizes.wait_s, self.sizes.window_s):
            every = method.examples(self.clicks)
            found[method.name] = self._run(every.take(every.row >= self.first_fresh), method)
        return [
            Measured(name, *values, *((v - p) / (o - p) for v, p, o in zip(values, low, high, strict=True)))
            for name, values in found.items()
        ]

    def log_odds(self) -> Floats:
        """What the pretrained model says of all impressions [N], corrected for the share of the negatives."""
        found: Floats = self.pretrained.log_odds(self.columns) + np.log(self.sizes.negatives)
        return found

    def _run(self, examples: Examples, method: Method | None) -> tuple[float, float]:
        """Mean log loss and AUC of the hours; without a method what the model says is served and weighs nothing."""
        model = self.pretrained.copy()
        late = np.ones(len(self.shown_s)) if method is None else self._late(method)

        def serve(f: Floats, rows: NDArray[np.int64]) -> Floats:
            p = corrected(f, self.sizes.negatives)
            return p if method is None else method.serve(p, late[rows])

        def weigh(label: Floats, f: Floats, rows: NDArray[np.int64]) -> Floats:
            return np.ones_like(label) if method is None else method.weight(label, serve(f, rows), late[rows])

        losses, ranks, weights, learnt = [], [], [], 0
        for begin in np.arange(self.begin_s, self.shown_s[-1], HOUR_S):
            due = int(np.searchsorted(examples.time_s, begin, side="right"))
            fresh = examples.take(slice(learnt, due))
            self._learn(model, fresh.row, fresh.label, fresh.weight, weigh)
            learnt = due
            first, last = np.searchsorted(self.shown_s, (begin, begin + HOUR_S))
            if last - first < BATCH:
                continue  # too few to rank
            rows = np.arange(first, last)
            answer = serve(sigmoid(model.log_odds(self.columns[rows])), rows)
            losses.append(oracle.log_loss(self.truth[rows], answer))
            ranks.append(oracle.auc(self.truth[rows], answer))
            weights.append(len(rows))
        return float(np.average(losses, weights=weights)), float(np.average(ranks, weights=weights))

    def _late(self, method: Method) -> Floats:
        return self.delays.later_than(method.wait_s, self.world.category)

    def _learn(
        self,
        model: HashedLogistic,
        row: NDArray[np.int64],
        label: Floats,
        weight: Floats,
        weigh: Callable[[Floats, Floats, NDArray[np.int64]], Floats],
    ) -> None:
        kept = (label > 0) | self._negatives[row]
        row, label, weight = row[kept], label[kept], weight[kept]
        for begin in range(0, len(row), BATCH):
            part = slice(begin, begin + BATCH)
            rows = self.columns[row[part]]
            f = sigmoid(model.log_odds(rows))
            model.learn(rows, weight[part] * weigh(label[part], f, row[part]) * (f - label[part]))
