"""Waits for what a drill needs before it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from drills.errors import NotInTime

T = TypeVar("T")
POLL_S = 0.25


def until(what: str, found: Callable[[], T | None], deadline_s: float = 120.0) -> T:
    """Asks until the answer is true.

    Raises:
        NotInTime: it never was; the message says what was waited for.
    """
    give_up = time.monotonic() + deadline_s
    while not (answer := found()):
        if time.monotonic() > give_up:
            raise NotInTime(f"{what} did not happen within {deadline_s:.0f} s")
        time.sleep(POLL_S)
    return answer
