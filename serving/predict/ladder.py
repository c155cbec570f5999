"""From features to scores, whatever is away: each candidate gets the best that can be had in time.

The model, from all that the stores hold; else what it said of the same user and ad some seconds ago; else the model
without what was not read; else the ad's own click rate; else that of all ads. A candidate that the model cannot score
comes down alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from adfeast.clock import Clock
from adfeast.contract.rungs import Rung
from adfeast.contract.signature import DTYPES, TENSORS
from adfeast.contract.tensors import Tensors
from serving.clients.breaker import Breaker
from serving.errors import ModelUnavailable
from serving.features.columns import Features
from serving.live import Taken
from serving.model.triton import Model
from serving.predict.recent import RecentScores

TRITON = "triton"


class Asks(Protocol):
    """What `serving.model.scorer.Scorer` does."""

    async def score(self, model: Model, tensors: Tensors, within_s: float) -> NDArray[np.float32]: ...


@dataclass(frozen=True, eq=False)
class Scored:
    """B candidates.

    Attributes:
        scores: float32 [B], finite.
        rungs: uint8 [B], a `Rung` each.
        away: names of what did not answer in time.
    """

    scores: NDArray[np.float32]
    rungs: NDArray[np.uint8]
    away: tuple[str, ...]


class Ladder:
    """Scores the auctions of one process."""

    def __init__(self, scorer: Asks, recent: RecentScores, clock: Clock, breaker: Breaker | None = None) -> None:
        self._scorer, self._recent, self._clock = scorer, recent, clock
        self.breaker = breaker or Breaker(TRITON)

    async def score(
        self, taken: Taken, user_id: str, ad_ids: Sequence[str], features: Features, within_s: float
    ) -> Scored:
        """Scores of B candidates.

        Args:
            within_s: how long the model may take.

        Raises:
            ModelUnavailable: the model cannot be asked, and was exported without what is answered then.
        """
        n, model, now, away = len(ad_ids), taken.model, self._clock.now_ms(), features.away
        scores, rungs = np.full(n, np.nan, np.float32), np.zeros(n, np.uint8)
        kept: NDArray[np.float32] | None = None
        partial = taken.selection.unread(features.shared_status, features.ad_status) if away else np.zeros(n, np.bool_)
        if partial.any():
            kept = self._recent.take(model.name, user_id, ad_ids, now)
            _fill(scores, rungs, np.where(partial, kept, np.float32(np.nan)), Rung.CACHED)
        asked = np.flatnonzero(rungs == 0)
        if len(asked):
            tensors = taken.selection.take(features.tensors)
            found = await self._ask(model, tensors if len(asked) == n else _rows(tensors, asked), within_s)
            if found is None:
                away = (*away, TRITON)
            else:
                good = np.isfinite(found)
                scores[asked[good]] = found[good]
                rungs[asked[good]] = np.where(partial[asked[good]], Rung.PARTIAL, Rung.FRESH)
        fresh = rungs == Rung.FRESH
        if fresh.any():
            own = scores if fresh.all() else np.where(fresh, scores, np.float32(np.nan))
            self._recent.put(model.name, user_id, ad_ids, own, now)
        if not rungs.all():
            kept = self._recent.take(model.name, user_id, ad_ids, now) if kept is None else kept
            self._without_model(model, ad_ids, scores, rungs, kept)
        return Scored(scores, rungs, away)

    async def probe(self, model: Model, within_s: float) -> str:
        """Asks a model for one row of zeros; returns what is wrong with an answer that came, else nothing."""
        empty = {TENSORS[role]: np.zeros((1, model.signature.width(role)), DTYPES[role]) for role in TENSORS}
        found = await self._ask(model, Tensors(**empty), within_s)
        return "" if found is None or np.isfinite(found).all() else f"{model.name} answers no numbers"

    async def _ask(self, model: Model, tensors: Tensors, within_s: float) -> NDArray[np.float32] | None:
        if not self.breaker.allows():
            return None
        try:
            found = await self._scorer.score(model, tensors, within_s)
        except ModelUnavailable as error:
            self.breaker.failed(str(error))
            return None
        self.breaker.succeeded()
        return found

    def _without_model(
        self,
        model: Model,
        ad_ids: Sequence[str],
        scores: NDArray[np.float32],
        rungs: NDArray[np.uint8],
        kept: NDArray[np.float32],
    ) -> None:
        """Fills what the model has left open."""
        _fill(scores, rungs, kept, Rung.CACHED)
        if rungs.all():
            return
        if model.rates is None:
            raise ModelUnavailable(
                f"{self.breaker.reason or f'model {model.name!r} answers no numbers'}; nor does the model say with "
                "which click rate to answer instead: train and deploy one that does"
            )
        _fill(scores, rungs, model.rates.of(ad_ids), Rung.AD_CTR)
        _fill(scores, rungs, np.full(len(ad_ids), model.rates.prior, np.float32), Rung.PRIOR)


def _fill(scores: NDArray[np.float32], rungs: NDArray[np.uint8], found: NDArray[np.float32], rung: Rung) -> None:
    """Takes what was found for candidates that have no score yet."""
    here = (rungs == 0) & np.isfinite(found)
    scores[here], rungs[here] = found[here], rung


def _rows(tensors: Tensors, at: NDArray[np.intp]) -> Tensors:
    return Tensors(tensors.dense[at], tensors.ids[at], tensors.lists[at], tensors.embeddings[at])
