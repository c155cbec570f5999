"""Events as the world sends them: out of order, twice, late; seeded."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from adfeast.contract.events import EVENT_ID, EVENT_TIME

START = 1_574_500_000_123
LONG_PAUSES = (400_000, 1_800_000, 1_800_001, 4_000_000)
VALUES: dict[str, Any] = {"int": 3, "long": 4, "float": 0.5, "double": 1.5, "boolean": True, "bytes": b"x"}


def event(columns: Mapping[str, str], identity: str, ms: int, **given: Any) -> dict[str, Any]:
    """An event of a schema: ids and texts are given or made up from the event's id."""
    made = {c: given.get(c, f"{c}-{identity}" if kind == "string" else VALUES[kind]) for c, kind in columns.items()}
    return made | {EVENT_ID: identity, EVENT_TIME: ms}


def stream(
    columns: Mapping[str, str], keys: Mapping[str, int], count: int, seed: int, start: int, name: str
) -> list[dict[str, Any]]:
    """Arrivals of one partition over hours: bursts and long pauses, a tenth out of order (4.9 s), a tenth twice.

    Args:
        keys: join key to number of entities.
    """
    dice = random.Random(seed)
    arrivals, now = [], start
    for i in range(count):
        pause = dice.choice((0, 0, 1, 500, 9_000, 9_999, 10_000, 10_001, 61_000))
        now += pause if dice.random() < 0.7 else dice.randrange(1, 3_000)
        now += dice.choice(LONG_PAUSES) if dice.random() < 0.03 else 0
        ms = now - (dice.randrange(4_900) if dice.random() < 0.1 else 0)
        entities = {key: f"{key}-{dice.randrange(n)}" for key, n in keys.items()}
        arrivals.append(event(columns, f"{name}-{i}", ms, **entities))
        if dice.random() < 0.1:
            arrivals.append(dict(dice.choice(arrivals[-5:])))
    return arrivals
