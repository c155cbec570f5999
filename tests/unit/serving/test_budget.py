"""A budget is inside the caller's deadline and grows with what is asked."""

from __future__ import annotations

import pytest

from serving.budget import LEAST_S, Budget

USUAL = Budget(0.010, 0.015, 0.020)


def test_a_usual_request_has_the_settings_budget() -> None:
    assert USUAL.for_call(200) == USUAL.for_call(200, 1.0) == USUAL


def test_more_candidates_may_take_longer() -> None:
    assert USUAL.for_call(2500).dynamodb_s == pytest.approx(0.150)


@pytest.mark.parametrize("remaining_s", [0.030, 0.010, 0.0, -1.0])
def test_no_stage_waits_beyond_the_callers_deadline(remaining_s: float) -> None:
    for candidates in (1, 200, 5000):
        given = USUAL.for_call(candidates, remaining_s)
        assert max(given.redis_s, given.dynamodb_s) + given.triton_s <= max(remaining_s, 2 * LEAST_S)
