"""How large a world is, and how hard: everything that may be turned."""

from __future__ import annotations

from dataclasses import dataclass

from training.errors import WorldError

MS_A_DAY = 86_400_000
EPOCH_MS = 1_767_571_200_000  # Monday, 5 January 2026, 00:00 UTC


@dataclass(frozen=True)
class WorldSpec:
    """What a world is made of; equal specs make equal worlds, to the bit.

    Attributes:
        start_ms, days: when its impressions are shown, milliseconds since 1970.
        new_ads: share of the ads that appear while it runs, evenly; the others are there from its start.
        candidates, slots: ads that compete for a page, and places on it.
        click_rate: mean true click rate.
        examined: how likely a user looks at each place of a page; its first entry is the first place.
        drift: standard deviation of what a category's log-odds gain or lose in a day.
        season: by how much a category's log-odds swing around their mean in a day.
        novelty: by how much the log-odds of an ad that has just appeared are higher; gone after some days.
        delay_s: scale of the delay from impression to click, in seconds, of the fastest and the slowest category; the
            others lie between them in equal ratios.
        delay_shape: of the delay's Weibull distribution; below 1 most clicks are quick and some very late.
    """

    seed: int = 0
    impressions: int = 200_000
    users: int = 50_000
    ads: int = 2_000
    categories: int = 12
    start_ms: int = EPOCH_MS
    days: float = 7.0
    new_ads: float = 0.3
    candidates: int = 8
    slots: int = 3
    click_rate: float = 0.02
    examined: tuple[float, ...] = (1.0, 0.6, 0.4)
    drift: float = 0.2
    season: float = 0.4
    novelty: float = 0.3
    delay_s: tuple[float, float] = (20.0, 1200.0)
    delay_shape: float = 0.7

    def __post_init__(self) -> None:
        """Raises: WorldError: no world can be made of this."""
        oldest = round(self.ads * (1 - self.new_ads))
        refused = {
            "impressions, users, categories and days must be above 0": min(
                self.impressions, self.users, self.categories, self.days
            )
            <= 0,
            "new_ads must lie in [0, 1)": not 0 <= self.new_ads < 1,
            "slots must be at least 1 and at most candidates": not 1 <= self.slots <= self.candidates,
            f"ads without new ones ({oldest}) must be as many as candidates": oldest < self.candidates,
            "examined must name a probability in (0, 1] for each slot": len(self.examined) < self.slots
            or not all(0 < e <= 1 for e in self.examined),
            "click_rate must lie in (0, 0.3)": not 0 < self.click_rate < 0.3,
            "delay_s and delay_shape must be above 0": min(*self.delay_s, self.delay_shape) <= 0,
        }
        if wrong := [what for what, so in refused.items() if so]:
            raise WorldError(f"no world can be made of {self}: {'; '.join(wrong)}")

    @property
    def end_ms(self) -> int:
        return self.start_ms + round(self.days * MS_A_DAY)
