"""Recent scores: of this model, this user and this ad only, for a while, in bounded memory."""

from __future__ import annotations

import numpy as np

from serving.predict.recent import RecentScores


def put(kept: RecentScores, user: str, ads: list[str], first: float, at_ms: int) -> None:
    kept.put("m", user, ads, np.arange(first, first + len(ads), dtype=np.float32), at_ms)


def test_the_newest_score_of_an_ad_answers_until_its_time_is_over() -> None:
    kept = RecentScores(100, 1000)
    put(kept, "u", ["a", "b"], 1, 0)
    put(kept, "u", ["b"], 7, 500)
    np.testing.assert_array_equal(kept.take("m", "u", ["b", "a", "c"], 1000), [7, 1, np.nan])
    np.testing.assert_array_equal(kept.take("m", "u", ["b", "a"], 1001), [7, np.nan])
    for model, user in (("m", "v"), ("n", "u")):
        assert np.isnan(kept.take(model, user, ["a"], 500)).all()


def test_what_the_model_could_not_score_does_not_hide_an_older_score() -> None:
    kept = RecentScores(100, 1000)
    put(kept, "u", ["a"], 1, 0)
    kept.put("m", "u", ["a"], np.array([np.nan], np.float32), 10)
    assert kept.take("m", "u", ["a"], 20).tolist() == [1]


def test_memory_is_bounded_and_the_user_longest_away_makes_room() -> None:
    kept = RecentScores(10, 1000)
    for n in range(50):
        put(kept, f"u{n % 7}", ["a", "b", "c"], n, n)
        assert len(kept) <= 10
    assert np.isfinite(kept.take("m", "u0", ["a"], 50)).all()
    assert np.isnan(kept.take("m", "u1", ["a"], 50)).all()
    for n in range(50):
        put(kept, "one", ["a"], n, n)
    assert len(kept) <= 10
    put(kept, "large", [str(n) for n in range(11)], 0, 60)
    assert len(kept) == 0
