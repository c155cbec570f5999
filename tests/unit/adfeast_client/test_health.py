"""Servers that fail again and again are asked last for a while; a fleet in trouble is not asked much more."""

from __future__ import annotations

from adfeast_client.health import Health, Tokens
from adfeast_client.policy import Policy

THREE = ["a", "b", "c"]


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def now(self) -> float:
        return self.s


def made() -> tuple[Health, Clock]:
    clock = Clock()
    return Health(THREE, Policy(eject_after=2, eject_s=1.0, eject_most_s=3.0), clock.now), clock


def test_failures_in_a_row_put_a_server_last_until_its_time_is_over() -> None:
    health, clock = made()
    health.failed("a")
    assert health.order(THREE) == ["a", "b", "c"]
    health.failed("a")
    assert health.order(THREE) == ["b", "c", "a"]
    clock.s += 1.0
    assert health.order(THREE) == ["a", "b", "c"]


def test_an_answer_between_two_failures_counts() -> None:
    health, _ = made()
    for _ in range(5):
        health.failed("a")
        health.answered("a")
    assert health.order(THREE) == THREE


def test_each_time_it_is_out_for_longer_up_to_a_bound() -> None:
    health, clock = made()
    health.failed("a")
    for out_s in (1.0, 2.0, 3.0, 3.0):
        health.failed("a")
        clock.s += out_s - 0.01
        assert health.order(THREE)[-1] == "a"
        clock.s += 0.02
        assert health.order(THREE)[0] == "a"


def test_where_half_of_them_fail_nobody_is_put_last() -> None:
    health, _ = made()
    for address in ("a", "b"):
        for _ in range(2):
            health.failed(address)
    assert health.order(THREE) == THREE


def test_retries_end_with_the_tokens_and_ten_answers_give_one_back() -> None:
    tokens = Tokens(2)
    assert [tokens.take() for _ in range(3)] == [True, True, False]
    for _ in range(9):
        tokens.answered()
    assert not tokens.take()
    for _ in range(2):
        tokens.answered()
    assert tokens.take()
