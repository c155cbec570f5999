"""Who stops waiting for Redis leaves the shared connection, and everybody's answers, alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from serving.errors import StoreUnavailable
from serving.features.redis import RedisTier

Use = Callable[[RedisTier, "Server"], Awaitable[None]]


class Server:
    """Answers each HMGET with its key, in order, once it may.

    Attributes:
        may: whether it answers now.
        connections: how many were made.
    """

    def __init__(self) -> None:
        self.may, self.connections = asyncio.Event(), 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readline():
            assert head == b"*3\r\n"
            parts = [(await reader.readline(), await reader.readline())[1] for _ in range(3)]
            await self.may.wait()
            key = parts[1].strip()
            writer.write(b"*1\r\n$%d\r\n%s\r\n" % (len(key), key))


def against(use: Use, timeout_s: float = 5.0) -> None:
    async def run() -> None:
        server = Server()
        listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
        tier = RedisTier("127.0.0.1", listening.sockets[0].getsockname()[1], timeout_s)
        try:
            await use(tier, server)
        finally:
            tier.close()
            listening.close()

    asyncio.run(run())


def asked(key: bytes) -> bytes:
    return b"*3\r\n$5\r\nHMGET\r\n$%d\r\n%s\r\n$1\r\nf\r\n" % (len(key), key)


def test_a_late_answer_goes_to_nobody_else() -> None:
    async def use(tier: RedisTier, server: Server) -> None:
        for key in (b"late", b"later"):
            with pytest.raises(StoreUnavailable, match="within 10 ms"):
                await tier.receive(tier.send([asked(key)]), 0.01)
        gone = asyncio.ensure_future(tier.receive(tier.send([asked(b"cancelled")])))
        waiting = asyncio.ensure_future(tier.receive(tier.send([asked(b"mine")])))
        await asyncio.sleep(0.01)
        gone.cancel()
        server.may.set()
        assert await waiting == [b"mine"]
        assert await tier.receive(tier.send([asked(b"next")]), 1) == [b"next"]
        assert server.connections == 1

    against(use)


def test_a_connection_that_is_silent_for_too_long_is_given_up() -> None:
    async def use(tier: RedisTier, server: Server) -> None:
        with pytest.raises(StoreUnavailable):
            await tier.receive(tier.send([asked(b"first")]), 0.01)
        await asyncio.sleep(0.1)
        waiting = tier.send([asked(b"second")])
        with pytest.raises(StoreUnavailable):
            await tier.receive(waiting, 0.01)
        server.may.set()
        assert await tier.receive(tier.send([asked(b"third")]), 1) == [b"third"]
        assert server.connections == 2

    against(use, timeout_s=0.05)


def test_sending_never_waits_for_a_connection() -> None:
    async def use(tier: RedisTier, server: Server) -> None:
        server.may.set()
        many = [tier.send([asked(b"%d" % n)]) for n in range(20)]
        assert [await tier.receive(one, 1) for one in many] == [[b"%d" % n] for n in range(20)]
        assert server.connections == 1  # one attempt for all

    against(use)


def test_a_redis_that_is_not_there_is_named() -> None:
    async def run() -> None:
        tier = RedisTier("127.0.0.1", 1)
        with pytest.raises(StoreUnavailable, match=r"cannot connect to Redis at 127\.0\.0\.1:1"):
            await tier.receive(tier.send([asked(b"x")]), 1)
        tier.close()

    asyncio.run(run())
