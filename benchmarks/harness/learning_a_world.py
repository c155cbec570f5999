"""Trains the shipped kinds of model on a world, by the path that real training sets take, and judges them by its truth.

The world is written as a training set; its held-out part is later than all a model has seen. What is judged there is
`Trained.measured`. Log loss and AUC are expectations over the true rates, so they have no noise of the clicks; the
calibration error is both what the truth says it is and what can be told of it from the clicks, with an interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.definitions import Definitions
from training.model.config import TrainConfig
from training.model.core import predict
from training.model.dataset import Part, TrainingSet
from training.model.evaluate import Metric, evaluate
from training.model.fit import Trained, fit
from training.model.inputs import choose, hold, tell_missing
from training.model.parquet import logged
from training.world import knowable, oracle
from training.world.spec import WorldSpec
from training.world.traffic import World, make
from training.world.truth import DEVICES, PLACEMENTS
from training.world.write import TRAINING_SET, write

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
PRIOR, ORACLE, KNOWABLE = "prior", "oracle", "knowable"
BINS = 15


@dataclass(frozen=True)
class Line:
    """An answer on the held-out part, judged by the truth.

    Attributes:
        closed: share of the log-loss gap from the prior to the oracle; `closed_knowable`: to what can be known.
    """

    name: str
    log_loss: float
    closed: float
    closed_knowable: float
    auc: float


@dataclass(frozen=True)
class Slice:
    """One kind on a slice of the held-out part.

    Attributes:
        ece: the calibration error by the true rates, over bins of equal mass; `measured` from the clicks.
        ratio: predicted clicks by expected ones.
    """

    kind: str
    name: str
    rows: int
    ece: float
    measured: Metric
    ratio: float
    closed: float
    closed_knowable: float


@dataclass(frozen=True)
class Learnt:
    """What came out of one world.

    Attributes:
        rows: of each part, by its name.
        fits: of each kind, how it was chosen.
    """

    rows: dict[str, int]
    lines: list[Line]
    slices: list[Slice]
    fits: dict[str, dict[str, object]]


class Learning:
    """A world as a training set, and its truth."""

    def __init__(
        self,
        spec: WorldSpec,
        definitions: Definitions,
        service: str,
        folder: Path,
        window_s: float,
        config: TrainConfig,
        hash_sizes: dict[str, int] | None = None,
    ) -> None:
        self.world: World = make(spec)
        write(self.world, definitions, service, folder, window_s)
        path = folder / TRAINING_SET
        wanted = choose(definitions.signature(service), hash_sizes=hash_sizes)
        signature, _ = hold(wanted, logged(path), "leave_out")
        self.data = TrainingSet(path, tell_missing(signature), config.fractions)
        self._config, self._seed = config, spec.seed
        self._held_out = self.data.part == Part.HELD_OUT
        self.truth = self.world.click_rate(window_s)[self._held_out]
        self.known = knowable.click_rate(self.world, window_s)[self._held_out]
        self.prior = self.data.rate(Part.TRAIN)

    def run(self, kinds: Sequence[str]) -> Learnt:
        """Trains and judges each kind."""
        rows = self.data.read(Part.HELD_OUT)
        trained: dict[str, Trained] = {k: fit(k, self.data, rows, self._config, self._seed) for k in kinds}
        answers = {k: predict(t.measured, rows.tensors) for k, t in trained.items()}
        fixed = {PRIOR: np.full_like(self.truth, self.prior), KNOWABLE: self.known, ORACLE: self.truth}
        whole = np.ones_like(self.truth, np.bool_)
        lines = [self._line(name, p, whole) for name, p in (fixed | answers).items()]
        slices = [
            self._slice(kind, name, p, mask, rows.label, rows.request)
            for kind, p in answers.items()
            for name, mask in self.slices()
        ]
        counts = {p.name.lower(): self.data.count(p)[0] for p in Part}
        fits = {k: {**t.fit, "calibration": t.calibration.to_dict(), "compared": t.choice} for k, t in trained.items()}
        return Learnt(counts, lines, slices, fits)

    def slices(self) -> Iterator[tuple[str, Mask]]:
        """Slices of the held-out rows; a model is not told of the place, nor how old an ad is."""
        shown, ads = self.world.impressions.take(self._held_out), self.world.truth.ads
        yield "all", np.ones(len(shown), np.bool_)
        yield "ads unseen before", ads.born_ms[shown.ad] * 1000 >= self.data.boundaries[2]
        begin, end = (int(t) // 1000 for t in (self.world.truth.spec.start_ms * 1000, self.data.boundaries[2]))
        yield "ads seen little", (ads.born_ms[shown.ad] >= begin) & (ads.born_ms[shown.ad] < end)
        yield "ads from the start", ads.born_ms[shown.ad] < begin
        users = np.bincount(self.world.impressions.user[~self._held_out], minlength=self.world.truth.spec.users)
        yield "users unseen before", users[shown.user] == 0
        for name, values in (("device", DEVICES), ("placement", PLACEMENTS)):
            for n, value in enumerate(values):
                yield f"{name} {value}", getattr(shown, name) == n
        for n in range(int(ads.category.max()) + 1):
            yield f"category {n}", ads.category[shown.ad] == n

    def _line(self, name: str, p: Floats, mask: Mask) -> Line:
        return Line(name, oracle.log_loss(self.truth[mask], p[mask]), *self._closed(p, mask), oracle.auc(self.truth, p))

    def _closed(self, p: Floats, mask: Mask) -> tuple[float, float]:
        """Shares of the gap from the prior to the oracle, and to what can be known."""
        truth = self.truth[mask]
        if not len(truth):
            return float("nan"), float("nan")
        prior, mine, known, best = (oracle.log_loss(truth, q) for q in (self.prior, p[mask], self.known[mask], truth))
        return (prior - mine) / (prior - best), (prior - mine) / (prior - known)

    def _slice(
        self, kind: str, name: str, p: Floats, mask: Mask, label: NDArray[np.float32], request: NDArray[np.int64]
    ) -> Slice:
        count = int(mask.sum())
        if not count:
            nothing = float("nan")
            return Slice(kind, name, 0, nothing, Metric(None, None, None), nothing, nothing, nothing)
        own, truth = p[mask], self.truth[mask]
        edges = np.unique(np.quantile(own, np.linspace(0, 1, BINS + 1)[1:-1]))
        gap = np.bincount(np.searchsorted(edges, own), own - truth)
        found = evaluate(label[mask], own, request[mask], seed=self._seed, replicates=1)
        ece = float(np.abs(gap).sum() / count)
        ratio = float(own.sum() / truth.sum())
        return Slice(kind, name, count, ece, found.metrics["ece"], ratio, *self._closed(p, mask))
