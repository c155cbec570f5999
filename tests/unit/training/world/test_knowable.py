"""What can be known of a world says nothing of what is hidden, and is right where it is taken together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.world import knowable, oracle
from training.world.spec import WorldSpec
from training.world.traffic import World, make


@pytest.fixture(scope="module")
def world() -> World:
    return make(WorldSpec(impressions=100_000, users=5_000, ads=300, click_rate=0.05, days=2))


def test_it_lies_between_the_prior_and_the_truth(world: World) -> None:
    truth, known = world.click_rate(), knowable.click_rate(world)
    best, mine, prior = (oracle.log_loss(truth, p) for p in (truth, known, float(truth.mean())))
    assert best < mine < prior
    assert 0.4 < (prior - mine) / (prior - best) < 0.9


def test_what_it_says_comes_true(world: World) -> None:
    truth, known = world.click_rate(), knowable.click_rate(world)
    shown, segment = world.impressions, world.truth.users.segment
    tenth = np.searchsorted(np.quantile(known, np.linspace(0, 1, 11)[1:-1]), known)
    for of in (tenth, world.category, segment[shown.user, 0], shown.device):
        ratio = np.bincount(of, known) / np.bincount(of, truth)
        assert ratio == pytest.approx(1.0, abs=0.15)


def test_it_does_not_see_what_nobody_knows_of_a_user(world: World) -> None:
    users, shown = world.truth.users, world.impressions
    examined = world.truth.examined(shown.position)
    own = shown.click_rate / examined
    moved = np.random.default_rng(0).normal(0, 0.3, len(users.eagerness))
    raised = examined / (1 + (1 - own) / own * np.exp(-moved[shown.user]))
    truth = replace(world.truth, users=replace(users, eagerness=users.eagerness + moved))
    before, after = (knowable.click_rate(w) for w in (world, World(truth, replace(shown, click_rate=raised))))
    assert after / after.mean() == pytest.approx(before / before.mean(), rel=1e-9)
