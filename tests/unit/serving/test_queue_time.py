from __future__ import annotations

import asyncio
import time

from serving.queue_time import PERIOD_S, QueueTime


def test_what_holds_the_loop_up_is_seen_as_queue_time() -> None:
    async def held_up() -> QueueTime:
        queue = QueueTime()
        task = asyncio.create_task(queue.follow())
        await asyncio.sleep(0)  # it looks at the clock
        time.sleep(4 * PERIOD_S)  # somebody else's work
        await asyncio.sleep(0.01)
        task.cancel()
        return queue

    queue = asyncio.run(held_up())
    assert queue.looks == 1
    assert queue.waited_s >= 2.9 * PERIOD_S
