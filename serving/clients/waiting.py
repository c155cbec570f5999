"""Waiting with a bound, without touching what is waited for."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")
ROUNDS = 2  # the loop looks at its sockets in the first and hands over what has come in the second


async def within(future: asyncio.Future[T], seconds: float) -> T:
    """What `future` gives, if it does so in time. Neither a timeout nor a cancelled caller cancels it: it may share a
    connection with others, or bring what the next request wants.

    Raises:
        TimeoutError: it has not, also not in the next rounds of the event loop: an answer that arrived while the loop
            was busy elsewhere is not late.
    """
    try:
        if not future.done():
            await asyncio.wait((future,), timeout=max(seconds, 0.0))
            for _ in range(ROUNDS if not future.done() else 0):
                await asyncio.sleep(0)
        if future.done():
            return future.result()
    finally:
        if not future.done():
            future.add_done_callback(forget)
    raise TimeoutError(f"no answer within {seconds * 1000:.0f} ms")


def forget(future: asyncio.Future[T]) -> None:
    """Nobody waits any more: a failure is not worth a warning that it was never looked at."""
    if not future.cancelled():
        future.exception()
