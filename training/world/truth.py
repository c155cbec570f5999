"""The law of a world: how likely an impression is clicked, and how long after it.

A user looks at a place with a probability of that place's own, and clicks an ad that was looked at with a probability
of its own (the position-based model: Craswell et al., An Experimental Comparison of Click Position-Bias Models, 2008).
The second one's log-odds are a sum of the user's, the ad's, their match, the category's season and drift, how new the
ad is, and where and on what it is seen. A click comes after a Weibull delay whose scale is the category's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.world.market import Ads, Floats, Ints, Users
from training.world.spec import MS_A_DAY, WorldSpec

DEVICES, PLACEMENTS = ("desktop", "mobile"), ("feed", "sidebar", "banner")
DEVICE_EFFECT, PLACEMENT_EFFECT = np.array([0.0, 0.3]), np.array([0.3, 0.0, -0.5])
MATCH = 0.25  # of a taste with an ad's vector
WORN_OUT_DAYS = 2.0  # after which novelty has fallen to a third
MS_AN_HOUR = 3_600_000


@dataclass(frozen=True)
class Truth:
    """What nobody in the world knows.

    Attributes:
        peak_hour: [C], when a category does best.
        walk: [D + 1, C], each category's drift in log-odds at the start of each day; straight in between.
        delay_scale_s: [C].
    """

    spec: WorldSpec
    users: Users
    ads: Ads
    peak_hour: Floats
    walk: Floats
    delay_scale_s: Floats

    @classmethod
    def draw(cls, spec: WorldSpec, users: Users, ads: Ads, random: np.random.Generator) -> Truth:
        """Draws the laws of a spec."""
        days = int(np.ceil(spec.days))
        steps = spec.drift * random.standard_normal((days, spec.categories))
        scale = np.geomspace(*spec.delay_s, spec.categories)
        return cls(
            spec,
            users,
            ads,
            peak_hour=random.uniform(0, 24, spec.categories),
            walk=np.concatenate([np.zeros((1, spec.categories)), np.cumsum(steps, axis=0)]),
            delay_scale_s=random.permutation(scale),
        )

    def drift(self, category: Ints, time_ms: Ints) -> Floats:
        """Log-odds [N] that categories have gained by then."""
        day = (time_ms - self.spec.start_ms) / MS_A_DAY
        whole = np.minimum(day.astype(np.int64), len(self.walk) - 2)
        part = day - whole
        found: Floats = (1 - part) * self.walk[whole, category] + part * self.walk[whole + 1, category]
        return found

    def season(self, category: Ints, time_ms: Ints) -> Floats:
        """Log-odds [N] by the time of the day."""
        hour = time_ms % MS_A_DAY / MS_AN_HOUR
        found: Floats = self.spec.season * np.cos((hour - self.peak_hour[category]) * (2 * np.pi / 24))
        return found

    def log_odds(self, user: Ints, ad: Ints, time_ms: Ints, device: Ints, placement: Ints) -> Floats:
        """Log-odds [N] that an ad which was looked at is clicked, but for a constant that is the world's."""
        category = self.ads.category[ad]
        age = (time_ms - self.ads.born_ms[ad]) / MS_A_DAY
        found: Floats = (
            self.users.eagerness[user]
            + self.ads.quality[ad]
            + MATCH * np.einsum("nk,nk->n", self.users.taste[user], self.ads.vector[ad])
            + self.drift(category, time_ms)
            + self.season(category, time_ms)
            + self.spec.novelty * np.exp(-age / WORN_OUT_DAYS)
            + DEVICE_EFFECT[device]
            + PLACEMENT_EFFECT[placement]
        )
        return found

    def examined(self, position: NDArray[np.integer]) -> Floats:
        """Probability [N] that a place (from 1) is looked at."""
        found: Floats = np.asarray(self.spec.examined)[position - 1]
        return found

    def delayed_at_most(self, category: Ints, seconds: Floats | float) -> Floats:
        """Probability [N] that a click comes within so many seconds, if one comes at all."""
        late = np.maximum(seconds, 0.0) / self.delay_scale_s[category]
        found: Floats = -np.expm1(-(late**self.spec.delay_shape))
        return found

    def delays_ms(self, category: Ints, random: np.random.Generator) -> Ints:
        """Delays [N] in whole milliseconds, at least 1."""
        drawn = self.delay_scale_s[category] * random.weibull(self.spec.delay_shape, len(category))
        return np.maximum(np.ceil(drawn * 1000), 1).astype(np.int64)
