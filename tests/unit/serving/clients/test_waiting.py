"""A bounded wait leaves alone what it waits for."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
import uvloop

from serving.clients.waiting import within


def test_what_is_too_late_still_comes() -> None:
    async def run() -> str:
        made: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError, match="within 1 ms"):
            await within(made, 0.001)
        waiting = asyncio.ensure_future(within(made, 10))
        await asyncio.sleep(0)
        waiting.cancel()  # its caller went away
        await asyncio.gather(waiting, return_exceptions=True)
        assert not made.done()
        made.set_result("late")
        return await within(made, 0)

    assert asyncio.run(run()) == "late"


def test_an_answer_that_came_while_the_loop_was_busy_is_not_late() -> None:
    mine, theirs = socket.socketpair()
    mine.setblocking(False)

    async def run() -> bytes:
        reading = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(mine, 9))
        waiting = asyncio.ensure_future(within(reading, 0.01))
        await asyncio.sleep(0.001)
        theirs.send(b"in time")
        time.sleep(0.05)
        return await waiting

    with mine, theirs:
        assert [run_with(run()) for run_with in (asyncio.run, uvloop.run)] == [b"in time"] * 2
