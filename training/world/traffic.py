"""What happens in a world: pages, the auction for their places, impressions and clicks, all as columns.

Work goes in chunks of pages, each with a random stream of its own, so memory is that of a chunk and of the result.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.world.market import Floats, Ints, catalogue, people
from training.world.spec import MS_A_DAY, WorldSpec
from training.world.truth import MS_AN_HOUR, PLACEMENTS, Truth

PAGES = 5_000
CHUNK = 32_768  # pages
PILOT = 100_000  # impressions by which the mean click rate is set
NO_CLICK = -1
_MARKET, _CLICKS, _PAGES = 0, 1, 2  # random streams


@dataclass(frozen=True)
class Impressions:
    """N impressions in the order of their time.

    Attributes:
        request: [N], number of the page; impressions of a page stand together.
        time_ms, user, ad, position (from 1), placement, device, page: [N].
        click_rate: [N], the true probability of a click, however late.
        delay_ms: [N], from impression to click; NO_CLICK where there is none.
    """

    request: Ints
    time_ms: Ints
    user: Ints
    ad: Ints
    position: Ints
    placement: Ints
    device: Ints
    page: Ints
    click_rate: Floats
    delay_ms: Ints

    def __len__(self) -> int:
        return len(self.time_ms)

    @property
    def delay_s(self) -> Floats:
        """Seconds [N] from impression to click; infinite where there is none."""
        return np.where(self.delay_ms == NO_CLICK, np.inf, self.delay_ms / 1000)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Impressions:
        """The impressions of an index, a mask or a slice."""
        return Impressions(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class World:
    """A market, its law, and what happened in it."""

    truth: Truth
    impressions: Impressions

    @cached_property
    def category(self) -> Ints:
        """[N], of each impression's ad."""
        found: Ints = self.truth.ads.category[self.impressions.ad]
        return found

    def click_rate(self, within_s: float = np.inf) -> Floats:
        """True probability [N] of a click within so many seconds."""
        if within_s == np.inf:
            return self.impressions.click_rate
        return self.impressions.click_rate * self.truth.delayed_at_most(self.category, within_s)


def make(spec: WorldSpec) -> World:
    """Makes the world of a spec."""
    random = np.random.default_rng([spec.seed, _MARKET])
    truth = Truth.draw(spec, people(spec, random), catalogue(spec, random), random)
    pages = -(-spec.impressions // spec.slots)
    times = _times(spec, pages, random)
    chunks = []
    for n, begin in enumerate(range(0, pages, CHUNK)):
        own = np.random.default_rng([spec.seed, _PAGES, n])
        chunks.append(_auction(truth, times[begin : begin + CHUNK], begin, own))
    columns = {k: np.concatenate([c[k] for c in chunks])[: spec.impressions] for k in chunks[0]}
    log_odds = columns.pop("log_odds")
    examined = truth.examined(columns["position"])
    step = max(1, len(log_odds) // PILOT)
    constant = _constant(log_odds[::step], examined[::step], spec.click_rate)
    rate = examined / (1 + np.exp(-(log_odds + constant)))
    own = np.random.default_rng([spec.seed, _CLICKS])
    clicked = np.flatnonzero(own.random(len(rate)) < rate)
    delay = np.full(len(rate), NO_CLICK, np.int64)
    delay[clicked] = truth.delays_ms(truth.ads.category[columns["ad"][clicked]], own)
    return World(truth, Impressions(**columns, click_rate=rate, delay_ms=delay))


def _times(spec: WorldSpec, count: int, random: np.random.Generator) -> Ints:
    """Times of pages, sorted: more by day than by night, more at weekends."""
    hours = np.arange(int(np.ceil(spec.days * 24)))
    begins = spec.start_ms + hours * MS_AN_HOUR
    busy = 1 + 0.6 * np.sin((begins % MS_A_DAY / MS_AN_HOUR - 9) * (2 * np.pi / 24))
    busy *= np.where((begins // MS_A_DAY + 3) % 7 >= 5, 1.3, 1.0)  # 1970 began on a Thursday
    edges = np.append(begins, spec.end_ms).clip(max=spec.end_ms)
    mass = np.concatenate([[0.0], np.cumsum(busy * np.diff(edges))])
    drawn: Floats = np.interp(np.sort(random.random(count)) * mass[-1], mass, edges)
    return np.minimum(drawn.astype(np.int64), spec.end_ms - 1)


def _auction(truth: Truth, times: Ints, first: int, random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Shows the winners of the pages at `times`: those with the highest bid times what somebody thinks of the match."""
    spec, users, ads, count = truth.spec, truth.users, truth.ads, len(times)
    user = np.searchsorted(np.cumsum(users.activity), random.random(count)).clip(max=spec.users - 1)
    device = (random.random(count) < users.mobile[user]).astype(np.int64)
    placement = random.integers(0, len(PLACEMENTS), count)
    page = (PAGES * random.random(count) ** 3).astype(np.int64)  # few pages are seen often
    # One candidate out of each of as many equal parts of the ads that exist, so no page shows an ad twice.
    alive = np.searchsorted(ads.born_ms, times, side="right")[:, None]
    edges = np.arange(spec.candidates + 1) * alive // spec.candidates
    candidate = edges[:, :-1] + (random.random((count, spec.candidates)) * np.diff(edges)).astype(np.int64)
    match = np.einsum("nk,nck->nc", users.taste[user], ads.vector[candidate])
    worth = ads.bid[candidate] + 0.1 * match + random.gumbel(0.0, 0.5, candidate.shape)
    won = np.argsort(-worth, axis=1)[:, : spec.slots]

    def each(of_page: Ints) -> Ints:
        return np.repeat(of_page, spec.slots)

    shown = {
        "request": each(np.arange(first, first + count)),
        "time_ms": each(times),
        "user": each(user),
        "ad": np.take_along_axis(candidate, won, axis=1).reshape(-1),
        "position": np.tile(np.arange(1, spec.slots + 1), count),
        "placement": each(placement),
        "device": each(device),
        "page": each(page),
    }
    odds = truth.log_odds(*(shown[c] for c in ("user", "ad", "time_ms", "device", "placement")))
    return shown | {"log_odds": odds}


def _constant(log_odds: Floats, examined: Floats, rate: float) -> float:
    """What must be added to log-odds so that clicks have this mean rate; the mean rises with it, so bisect."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.mean(examined / (1 + np.exp(-(log_odds + middle))))) < rate:
            low = middle
        else:
            high = middle
    return (low + high) / 2
