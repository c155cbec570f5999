"""A ring gives each user a server, alike in every process, and moves few when servers come and go."""

from __future__ import annotations

from collections import Counter

import pytest

from adfeast_client.ring import HashRing

ADDRESSES = [f"10.0.0.{i}:50051" for i in range(5)]
USERS = [f"user-{i}" for i in range(4_000)]


def first(ring: HashRing, user: str) -> str:
    return next(ring.order(user))


def test_the_order_of_the_addresses_and_the_process_do_not_matter() -> None:
    one, other = HashRing(ADDRESSES), HashRing(ADDRESSES[::-1])
    assert all(list(one.order(user)) == list(other.order(user)) for user in USERS[:100])
    assert list(one.order("user-0")) == [f"10.0.0.{i}:50051" for i in (0, 2, 3, 4, 1)]


def test_every_server_comes_once_and_has_about_its_share() -> None:
    ring = HashRing(ADDRESSES)
    assert sorted(ring.order("u")) == ADDRESSES
    shares = Counter(first(ring, user) for user in USERS)
    assert min(shares.values()) > 0.7 * len(USERS) / len(ADDRESSES)
    assert max(shares.values()) < 1.3 * len(USERS) / len(ADDRESSES)


def test_a_server_that_goes_moves_only_its_own_users_to_the_next_of_each() -> None:
    whole, without = HashRing(ADDRESSES), HashRing(ADDRESSES[1:])
    for user in USERS:
        order = list(whole.order(user))
        assert first(without, user) == (order[1] if order[0] == ADDRESSES[0] else order[0])


@pytest.mark.parametrize("wrong", [[], ["a:1", "a:1"]])
def test_addresses_that_make_no_ring_are_refused(wrong: list[str]) -> None:
    with pytest.raises(ValueError, match="give at least one, and each once"):
        HashRing(wrong)
