"""The best answer of whom the law of a world is known to, but of users, ads and places only what the platform logs.

The true rates hold what no model can know when it is asked: at which place the ad will stand, how far a user's taste
and eagerness are from what the segments say (but for what the user's own few clicks tell), how far an ad's quality is
from its score (but for its own clicks), and what drift has done since. This answer is told the drift, and averages over
the rest. It is close to the best that can be said of a user or an ad without history, and not a bound where there is
one: ids, learnt from clicks, tell more.
"""

from __future__ import annotations

import numpy as np

from training.world.market import (
    EAGERNESS,
    HIDDEN_EAGERNESS,
    HIDDEN_QUALITY,
    LEVELS,
    QUALITY,
    SEGMENTS,
    TASTES,
    Floats,
    Ints,
    segments,
)
from training.world.traffic import World
from training.world.truth import MATCH

PEOPLE = 1 << 19  # drawn to see which tastes have which segments
CHUNK = 1 << 18
POINTS = 7  # of the quadrature over what is hidden


def click_rate(world: World, within_s: float = np.inf) -> Floats:
    """Probability [N] of a click within so many seconds, of which the mean is that of the true ones."""
    shown, truth = world.impressions, world.truth
    users, ads = truth.users, truth.ads
    taste, hidden = _tastes(users.directions, users.segment, truth.spec.seed)
    examined = truth.examined(shown.position)
    place = float(examined.mean())
    nodes, weights = np.polynomial.hermite_e.hermegauss(POINTS)
    found = np.empty(len(shown))
    for begin in range(0, len(shown), CHUNK):
        rows = slice(begin, begin + CHUNK)
        user, ad = shown.user[rows], shown.ad[rows]
        own = shown.click_rate[rows] / examined[rows]
        speaks = MATCH * ads.vector[ad]
        match = np.einsum("nk,nk->n", users.taste[user], speaks)
        known = np.log(own / (1 - own)) - match - users.eagerness[user] - ads.quality[ad]
        speaks[:, 0] += EAGERNESS
        known += np.einsum("nk,nk->n", taste[user], speaks) + QUALITY * ads.score[ad]
        variance = np.einsum("nk,kl,nl->n", speaks, hidden, speaks) + HIDDEN_EAGERNESS**2 + HIDDEN_QUALITY**2
        spread = known[:, None] + np.sqrt(variance)[:, None] * nodes
        found[rows] = place * (1 / (1 + np.exp(-spread))) @ (weights / weights.sum())
    if within_s != np.inf:
        found *= truth.delayed_at_most(world.category, within_s)
    mean: float = world.click_rate(within_s).mean() / found.mean()  # the auction shows matches a little above the mean
    return found * mean


def _tastes(directions: Floats, segment: Ints, seed: int) -> tuple[Floats, Floats]:
    """Mean taste [U, TASTES] of people of the same segments, and what they differ from it, [TASTES, TASTES]."""
    drawn = np.random.default_rng([seed, PEOPLE]).standard_normal((PEOPLE, TASTES))
    base = LEVELS ** np.arange(SEGMENTS)
    of, count = segments(drawn, directions) @ base, LEVELS**SEGMENTS
    people = np.maximum(np.bincount(of, minlength=count), 1)
    mean = np.stack([np.bincount(of, column, count) for column in drawn.T], axis=1) / people[:, None]
    hidden: Floats = np.cov((drawn - mean[of]).T)
    return mean[segment @ base], hidden
