"""Who sees ads and what is shown: users and ads with what is hidden of them and what can be known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.world.spec import MS_A_DAY, WorldSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TASTES = 8  # directions in which tastes differ
SEGMENTS = 4  # known attributes of a user, each the signs of three directions of its taste
LEVELS = 8
SITES = 3
ADS_A_CAMPAIGN = 100
# Log-odds: a user's own by its first taste, and what nobody can know of them; an ad's by its score, likewise.
EAGERNESS, HIDDEN_EAGERNESS = 0.3, 0.3
QUALITY, HIDDEN_QUALITY = 0.4, 0.3


@dataclass(frozen=True)
class Users:
    """U users.

    Attributes:
        taste: [U, TASTES], hidden.
        eagerness: [U], log-odds of the user's own, hidden.
        activity: [U], share of the pages each one sees.
        segment: [U, SEGMENTS], what is known of the taste, in [0, LEVELS).
        directions: [TASTES, SEGMENTS * 3], whose signs a segment tells, three each, hidden.
        site: [U], where the user is seen.
        mobile: [U], how often the user has the phone in hand.
    """

    taste: Floats
    eagerness: Floats
    activity: Floats
    segment: Ints
    directions: Floats
    site: Ints
    mobile: Floats


@dataclass(frozen=True)
class Ads:
    """A ads in the order in which they appear.

    Attributes:
        vector: [A, TASTES], whom it speaks to; known, as part of what the ad shows.
        quality: [A], log-odds of the ad's own; `score` is what is known of it.
        category, campaign: [A].
        bid: [A], log of what a click is worth to the advertiser.
        born_ms: [A], when it appears.
    """

    vector: Floats
    quality: Floats
    score: Floats
    category: Ints
    campaign: Ints
    bid: Floats
    born_ms: Ints

    def content(self, width: int, seed: int) -> NDArray[np.float32]:
        """Content embeddings [A, width] of length 1: vector, category and score through a random projection."""
        known = np.eye(self.category.max() + 1)[self.category]
        wide = np.concatenate([self.vector, known, self.score[:, None]], axis=1)
        projected = wide @ np.random.default_rng([seed, width]).standard_normal((wide.shape[1], width))
        unit: NDArray[np.float32] = (projected / np.linalg.norm(projected, axis=1, keepdims=True)).astype(np.float32)
        return unit


def people(spec: WorldSpec, random: np.random.Generator) -> Users:
    """Draws the users."""
    taste = random.standard_normal((spec.users, TASTES))
    directions = random.standard_normal((TASTES, SEGMENTS * 3))
    activity = random.lognormal(0.0, 1.0, spec.users)
    return Users(
        taste=taste,
        eagerness=EAGERNESS * taste[:, 0] + HIDDEN_EAGERNESS * random.standard_normal(spec.users),
        activity=activity / activity.sum(),
        segment=segments(taste, directions),
        directions=directions,
        site=random.integers(0, SITES, spec.users),
        mobile=random.beta(2.0, 1.0, spec.users),
    )


def segments(taste: Floats, directions: Floats) -> Ints:
    """What is known [U, SEGMENTS] of tastes [U, TASTES]."""
    signs = (taste @ directions > 0).reshape(-1, SEGMENTS, 3)
    found: Ints = (signs @ np.array([1, 2, 4])).astype(np.int64)
    return found


def catalogue(spec: WorldSpec, random: np.random.Generator) -> Ads:
    """Draws the ads."""
    centre = random.standard_normal((spec.categories, TASTES))
    category = random.integers(0, spec.categories, spec.ads)
    score = random.standard_normal(spec.ads)
    born = np.full(spec.ads, spec.start_ms - 30 * MS_A_DAY)
    new = round(spec.ads * spec.new_ads)
    born[spec.ads - new :] = np.sort(random.integers(spec.start_ms, spec.end_ms, new))
    return Ads(
        vector=0.7 * centre[category] + 0.7 * random.standard_normal((spec.ads, TASTES)),
        quality=QUALITY * score + HIDDEN_QUALITY * random.standard_normal(spec.ads),
        score=score,
        category=category,
        campaign=np.arange(spec.ads) % max(1, spec.ads // ADS_A_CAMPAIGN),
        bid=0.5 * random.standard_normal(spec.ads),
        born_ms=born,
    )
