"""Scores that the model gave some seconds ago, by model, user and ad: a rung of the ladder, not a short cut.

An auction is kept as it was scored, in one entry, so that keeping it costs the request path next to nothing; which ad
has which score is worked out when somebody asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

AUCTIONS_A_USER = 4
_Auction = tuple[int, Sequence[str], NDArray[np.float32]]


class RecentScores:
    """Bounded by candidates; the user longest without an auction makes room.

    Args:
        candidates: kept at most.
        ttl_ms: how long a score may be answered again.
    """

    def __init__(self, candidates: int, ttl_ms: int) -> None:
        self._most, self._ttl_ms = candidates, ttl_ms
        self._auctions: OrderedDict[tuple[str, str], list[_Auction]] = OrderedDict()
        self._kept = 0

    def __len__(self) -> int:
        return self._kept

    def put(self, model: str, user_id: str, ad_ids: Sequence[str], scores: NDArray[np.float32], now_ms: int) -> None:
        """Keeps the scores of an auction; a NaN stands for none."""
        auctions = self._auctions.setdefault((model, user_id), [])
        self._auctions.move_to_end((model, user_id))
        auctions.append((now_ms, ad_ids, scores))
        self._kept += len(ad_ids)
        if len(auctions) > AUCTIONS_A_USER:
            self._kept -= len(auctions.pop(0)[1])
        while self._kept > self._most:
            _, gone = self._auctions.popitem(last=False)
            self._kept -= sum(len(ids) for _, ids, _ in gone)

    def take(self, model: str, user_id: str, ad_ids: Sequence[str], now_ms: int) -> NDArray[np.float32]:
        """The newest score of each ad that is young enough, NaN where there is none."""
        known: dict[str, float] = {}
        for at_ms, ids, scores in self._auctions.get((model, user_id), ()):
            if now_ms - self._ttl_ms <= at_ms <= now_ms:
                known.update((ad, score) for ad, score in zip(ids, scores.tolist(), strict=True) if score == score)
        return np.array([known.get(ad, np.nan) for ad in ad_ids], np.float32)
