"""A world is what its spec says, and the same every time."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from training.errors import WorldError
from training.world.spec import MS_A_DAY, WorldSpec
from training.world.traffic import NO_CLICK, World, make

SPEC = WorldSpec(seed=3, impressions=200_000, users=5_000, ads=500, click_rate=0.05, days=4)


@pytest.fixture(scope="module")
def world() -> World:
    return make(SPEC)


def deviations(clicked: np.ndarray, rate: np.ndarray) -> float:
    """By how many standard deviations clicks differ from what their true rates say."""
    return float((clicked.sum() - rate.sum()) / np.sqrt((rate * (1 - rate)).sum()))


def test_equal_specs_make_equal_worlds_and_another_seed_another(world: World) -> None:
    again, other = make(SPEC), make(replace(SPEC, seed=4))
    for f in fields(world.impressions):
        assert np.array_equal(getattr(world.impressions, f.name), getattr(again.impressions, f.name)), f.name
    assert not np.array_equal(world.impressions.ad, other.impressions.ad)


def test_the_mean_click_rate_is_the_specs_and_clicks_follow_the_true_rates(world: World) -> None:
    shown = world.impressions
    assert len(shown) == SPEC.impressions
    assert shown.click_rate.mean() == pytest.approx(SPEC.click_rate, rel=0.01)
    clicked = shown.delay_ms != NO_CLICK
    groups = [shown.position == p for p in (1, 2, 3)] + [world.category == c for c in range(SPEC.categories)]
    groups += [shown.click_rate > np.quantile(shown.click_rate, 0.9), shown.device == 1]
    for group in groups:
        assert abs(deviations(clicked[group], shown.click_rate[group])) < 4


def test_a_place_that_is_looked_at_less_is_clicked_less() -> None:
    even = make(replace(SPEC, examined=(1.0, 1.0, 1.0), impressions=30_000)).impressions
    steep = make(replace(SPEC, examined=(1.0, 0.5, 0.1), impressions=30_000)).impressions
    assert np.array_equal(even.ad, steep.ad)  # the auction knows nothing of places
    # The constant that sets the mean rate moves all places alike; what remains is the examination.
    odds = [i.click_rate / np.array(e)[i.position - 1] for i, e in ((even, (1, 1, 1)), (steep, (1, 0.5, 0.1)))]
    moved = np.log(odds[1] / (1 - odds[1])) - np.log(odds[0] / (1 - odds[0]))
    assert moved == pytest.approx(moved[0], abs=1e-9)


def test_a_page_shows_no_ad_twice_and_none_before_it_appears(world: World) -> None:
    shown, ads = world.impressions, world.truth.ads
    pairs = shown.request * SPEC.ads + shown.ad
    assert len(np.unique(pairs)) == len(pairs)
    assert (ads.born_ms[shown.ad] <= shown.time_ms).all()
    assert (np.diff(shown.time_ms) >= 0).all()
    assert shown.time_ms[0] >= SPEC.start_ms
    assert shown.time_ms[-1] < SPEC.end_ms
    new = ads.born_ms >= SPEC.start_ms
    assert new.sum() == round(SPEC.new_ads * SPEC.ads)
    days = (shown.time_ms - SPEC.start_ms) // MS_A_DAY
    share = [new[shown.ad[days == d]].mean() for d in range(4)]
    assert share == sorted(share)
    assert share[0] < 0.1 < share[3]


def test_delays_are_those_of_the_category(world: World) -> None:
    shown, truth = world.impressions, world.truth
    assert sorted(truth.delay_scale_s)[::11] == pytest.approx(list(SPEC.delay_s))
    for category in range(SPEC.categories):
        delays = np.sort(shown.delay_s[(world.category == category) & (shown.delay_ms != NO_CLICK)])
        theory = truth.delayed_at_most(np.full(len(delays), category), delays)
        distance = np.abs(theory - (np.arange(len(delays)) + 0.5) / len(delays)).max()
        assert distance < 1.95 / np.sqrt(len(delays))  # Kolmogorov and Smirnov's, once in 1,000


def test_a_click_rate_within_a_window_counts_the_clicks_that_come_in_it(world: World) -> None:
    clicked = world.impressions.delay_s <= 300
    assert abs(deviations(clicked, world.click_rate(300))) < 4
    assert abs(deviations(clicked, world.click_rate())) > 20


def test_drift_moves_a_category_as_its_walk_says() -> None:
    spec = replace(SPEC, impressions=20_000)
    still, moving = make(replace(spec, drift=0.0)), make(replace(spec, drift=0.5))
    assert not still.truth.walk.any()
    times = np.full(3, spec.start_ms + MS_A_DAY * 3 // 2)
    categories = np.array([0, 1, 2])
    assert moving.truth.drift(categories, times) == pytest.approx(moving.truth.walk[1:3, :3].mean(axis=0))
    many = make(replace(spec, impressions=10, categories=400, drift=0.5, days=50)).truth.walk
    assert np.diff(many, axis=0).std() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ads": 9}, r"ads without new ones \(6\)"),
        ({"slots": 9}, "at most candidates"),
        ({"click_rate": 0.0}, "click_rate"),
        ({"examined": (1.0, 0.5)}, "for each slot"),
        ({"delay_s": (0.0, 1.0)}, "delay_s"),
    ],
)
def test_an_impossible_spec_is_refused_by_name(change: dict[str, object], named: str) -> None:
    with pytest.raises(WorldError, match=named):
        replace(SPEC, **change)  # type: ignore[arg-type]
