"""Keys have the slots that Redis gives them, and every slot has a master."""

import pytest

from adfeast.redis_slots import SLOTS, NoSlots, SlotMap, slot_of

ME = ("seed", 6379)
HALF = SLOTS // 2
ANSWER = [
    [0, HALF - 1, [b"one", 7000, b"id"], [b"a replica", 7003, b"id"]],
    [HALF, SLOTS - 1, [b"", 7001, b"id", []]],
]


# As CLUSTER KEYSLOT says; the first is the example of its specification.
@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 12739),
        (b"foo", 12182),
        (b"{foo}.bar", 12182),
        (b"a{foo}{zap}", 12182),
    ],
)
def test_slots_are_those_of_redis(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_empty_braces_count_as_part_of_the_key() -> None:
    assert slot_of(b"{}a") != slot_of(b"{}b")


def test_a_map_names_masters_and_a_node_without_a_name_is_the_one_that_was_asked() -> None:
    found = SlotMap.read(ANSWER, ME)
    assert found.masters == (("one", 7000), ("seed", 7001))
    assert [found.owner[s] for s in (0, HALF - 1, HALF, SLOTS - 1)] == [0, 0, 1, 1]
    keys = found.key_of_each(b"probe")
    assert [found.place(key) for key in keys] == [0, 1]


@pytest.mark.parametrize(
    ("answer", "why"), [(ANSWER[:1], f"nobody has slot {HALF}"), (ValueError("ERR no"), "no node")]
)
def test_a_map_with_holes_or_of_a_single_server_is_refused(answer: object, why: str) -> None:
    with pytest.raises(NoSlots, match=why):
        SlotMap.read(answer, ME)
