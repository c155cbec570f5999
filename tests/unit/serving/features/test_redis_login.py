"""The connection to Redis logs in before it asks anything; the server here is as much of Redis as that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adfeast.access import RedisAccess
from adfeast.settings import Settings
from serving.errors import StoreUnavailable
from serving.features.redis import RedisTier

ASK = b"*3\r\n$5\r\nHMGET\r\n$1\r\nk\r\n$1\r\nf\r\n"
LOGIN = RedisAccess.of(Settings(redis_username="us", redis_password="hunter2")).login()  # type: ignore[arg-type]


def against(answer_to_login: bytes, use: Callable[[RedisTier], Awaitable[None]], login: bytes = LOGIN) -> bytes:
    """What the server was sent."""
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            heard.extend(data)
            writer.write(answer_to_login if data.startswith(LOGIN[:20]) else b"*1\r\n$1\r\nv\r\n" * data.count(ASK))
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        tier = RedisTier("127.0.0.1", server.sockets[0].getsockname()[1], login=login)
        try:
            await use(tier)
        finally:
            tier.close()
            server.close()

    asyncio.run(asyncio.wait_for(run(), 10))
    return bytes(heard)


async def read(tier: RedisTier) -> None:
    for _ in range(2):
        assert await tier.receive(tier.send([ASK])) == [b"v"]


def test_a_connection_logs_in_once_and_then_reads() -> None:
    assert against(b"+OK\r\n", read) == LOGIN + ASK + ASK


def test_those_that_come_while_it_logs_in_wait_for_the_same_connection() -> None:
    async def crowd(tier: RedisTier) -> None:
        asked = [tier.send([ASK]) for _ in range(3)]
        assert [await tier.receive(answer) for answer in asked] == [[b"v"]] * 3

    heard = against(b"+OK\r\n", crowd)
    assert heard == LOGIN + ASK * 3


def test_without_a_password_nothing_is_said() -> None:
    assert against(b"", read, login=b"") == ASK + ASK


def test_a_refused_login_is_named_without_the_password() -> None:
    async def refused(tier: RedisTier) -> None:
        named = "refuses redis_username and redis_password: .*WRONGPASS"
        with pytest.raises(StoreUnavailable, match=named) as error:
            await read(tier)
        assert "hunter2" not in str(error.value)

    assert ASK not in against(b"-WRONGPASS invalid username-password pair\r\n", refused)
