"""What is known of an ad without any feature: its click rate in what a model learnt from, and that of all ads.

They are made with the model and go with it, so that a server can answer when neither a store nor Triton does. Ads are
kept by `hash_id`, 12 bytes each, the most shown ones first.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.ids import hash_id

FILE = "base_rates.npz"  # of an artifact
MOST_ADS = 1_000_000


@dataclass(frozen=True, eq=False)
class BaseRates:
    """Click rates.

    Attributes:
        prior: of all impressions, in (0, 1).
        ids: int64 [ads], ascending; `hash_id` of the ads whose own rate is known.
        rates: float32 [ads].
    """

    prior: float
    ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rates: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @classmethod
    def count(
        cls, ad_ids: Sequence[str], labels: NDArray[Any], weights: NDArray[Any] | None = None, most: int = MOST_ADS
    ) -> BaseRates:
        """The rates of shown ads; one click's worth of the prior steadies an ad's own rate.

        Args:
            ad_ids: of each impression.
            labels: 1 where it was clicked, else 0.
            weights: how many impressions each stands for; None is one.
        """
        w = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
        prior = float((w @ labels + 0.5) / (w.sum() + 1))
        names, which = np.unique(np.asarray(ad_ids, object), return_inverse=True)
        shown, clicks = (np.bincount(which.reshape(-1), c, len(names)) for c in (w, w * labels))
        rates = ((clicks + 1) / (shown + 1 / prior)).astype(np.float32)
        kept = np.argsort(-shown, kind="stable")[:most]
        ids = np.array([hash_id(names[i]) for i in kept], np.int64)
        order = np.argsort(ids)
        return cls(prior, ids[order], rates[kept][order])

    def of(self, ad_ids: Sequence[str]) -> NDArray[np.float32]:
        """The own rate of each ad, NaN where it is not known."""
        wanted = np.array([hash_id(ad) for ad in ad_ids], np.int64)
        if not len(self.ids):
            return np.full(len(wanted), np.nan, np.float32)
        at = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return np.where(self.ids[at] == wanted, self.rates[at], np.float32(np.nan)).astype(np.float32)

    def to_bytes(self) -> bytes:
        """The content of `FILE`."""
        out = io.BytesIO()
        np.savez(out, prior=np.array(self.prior), ids=self.ids, rates=self.rates)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> BaseRates:
        """Raises: ValueError: these are not the bytes of a `FILE`."""
        try:
            held = np.load(io.BytesIO(data), allow_pickle=False)
            found = cls(float(held["prior"]), held["ids"].astype(np.int64), held["rates"].astype(np.float32))
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{len(data)} bytes are no base rates: {error!r}") from error
        if not 0 < found.prior < 1 or found.ids.shape != found.rates.shape:
            raise ValueError(f"base rates with prior {found.prior} and {len(found.ids)} ads are none")
        return found
