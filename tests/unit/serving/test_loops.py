"""What runs beside the requests outlives what it meets, and says once what that was."""

from __future__ import annotations

import asyncio
import logging

import pytest

from adfeast.clock import ManualClock
from serving.loops import Loop


class Work:
    """Fails as it is told to, and notes that it was done."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.says = ""
        self.times = 0

    async def do(self) -> str:
        self.times += 1
        if self.error:
            raise self.error
        return self.says


def test_a_loop_goes_on_after_any_failure() -> None:
    async def run() -> None:
        task = asyncio.create_task(loop.run())
        while work.times < 5:
            await asyncio.sleep(0.001)
        task.cancel()

    work = Work()
    work.error = RuntimeError("a fault of ours")
    loop = Loop("work", work.do, 0.0, ManualClock(0))
    asyncio.run(asyncio.wait_for(run(), 5))
    assert loop.failures >= 5


def test_its_age_is_that_of_the_last_time_it_worked(caplog: pytest.LogCaptureFixture) -> None:
    work, clock = Work(), ManualClock(1_000)
    loop = Loop("work", work.do, 0.0, clock)
    clock.advance(2_000)
    assert loop.age_s(clock.now_ms()) == 2
    asyncio.run(loop.once())
    clock.advance(3_000)
    work.error = OSError("away")
    asyncio.run(loop.once())
    assert (loop.age_s(clock.now_ms()), loop.failures) == (3, 1)


def test_a_failure_is_said_once_a_change(caplog: pytest.LogCaptureFixture) -> None:
    work = Work()
    loop = Loop("work", work.do, 0.0, ManualClock(0))
    with caplog.at_level(logging.INFO, "serving.loops"):
        for error in (OSError("away"), OSError("away"), ValueError("odd"), OSError("away"), None, None):
            work.error = error
            asyncio.run(loop.once())
    said = [r.message for r in caplog.records]
    assert said == [
        "work fails, and is tried again: OSError: away",
        "work fails, and is tried again: ValueError: odd",
        "work fails, and is tried again: OSError: away",
        "work works again",
    ]
    assert (loop.failures, loop.problem) == (4, "")


def test_what_has_been_said_already_is_counted_and_not_said_again(caplog: pytest.LogCaptureFixture) -> None:
    work, clock = Work(), ManualClock(0)
    loop = Loop("work", work.do, 0.0, clock)
    work.says = "MLflow does not answer"
    clock.advance(1_000)
    with caplog.at_level(logging.INFO, "serving.loops"):
        asyncio.run(loop.once())
    assert (loop.failures, loop.problem, loop.age_s(clock.now_ms())) == (1, "MLflow does not answer", 1)
    assert caplog.records == []
