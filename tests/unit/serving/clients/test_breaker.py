"""Who is away is left alone, but for a probe now and then."""

from __future__ import annotations

import pytest

from serving.clients.breaker import Breaker


class Seconds:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def breaker(seconds: Seconds) -> Breaker:
    return Breaker("store", seconds, failures=3, pause_s=1.0, longest_s=3.0)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(3):
        assert breaker.allows()
        breaker.failed("timeout")
    return breaker


def test_it_opens_after_failures_in_a_row_only(breaker: Breaker) -> None:
    for _ in range(10):
        breaker.failed("timeout")
        breaker.failed("timeout")
        breaker.succeeded()
    assert breaker.closed
    opened(breaker)
    assert (breaker.closed, breaker.allows(), breaker.reason, breaker.opened) == (False, False, "timeout", 1)


def test_one_probe_at_a_time_goes_through_and_its_success_closes(breaker: Breaker, seconds: Seconds) -> None:
    opened(breaker)
    seconds.now += 0.99
    assert not breaker.allows()
    seconds.now += 0.01
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert not breaker.closed
    breaker.succeeded()
    assert (breaker.closed, breaker.allows(), breaker.reason) == (True, True, "")


def test_a_probe_that_fails_makes_the_next_pause_longer_up_to_a_bound(breaker: Breaker, seconds: Seconds) -> None:
    opened(breaker)
    for pause in (1.0, 2.0, 3.0, 3.0):
        seconds.now += pause - 0.01
        assert not breaker.allows()
        seconds.now += 0.02
        assert breaker.allows()
        breaker.failed("refused")
    assert (breaker.reason, breaker.opened) == ("refused", 1)
    seconds.now += 3.1
    assert breaker.allows()
    breaker.succeeded()
    opened(breaker)
    seconds.now += 1.0
    assert breaker.allows()  # the pauses begin anew


def test_a_probe_whose_caller_went_away_is_followed_by_another(breaker: Breaker, seconds: Seconds) -> None:
    opened(breaker)
    seconds.now += 1.0
    assert breaker.allows()
    seconds.now += 1.0
    assert breaker.allows()


def test_calls_that_were_in_flight_when_it_opened_do_not_make_the_pause_longer(
    breaker: Breaker, seconds: Seconds
) -> None:
    opened(breaker)
    for _ in range(20):
        breaker.failed("timeout")
    seconds.now += 1.0
    assert breaker.allows()
