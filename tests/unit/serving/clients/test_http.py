"""The client against a real socket whose server says what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from serving.clients.http import HttpError, HttpPool, Response

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def against(talk: Talk, use: Callable[[HttpPool], Awaitable[list[Response]]], timeout_s: float = 5.0) -> list[Response]:
    async def run() -> list[Response]:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        pool = HttpPool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=timeout_s)
        try:
            return await use(pool)
        finally:
            pool.close()
            server.close()

    return asyncio.run(run())


async def twice(pool: HttpPool) -> list[Response]:
    return [await pool.get("/one"), await pool.get("/two")]


async def once(pool: HttpPool) -> list[Response]:
    return [await pool.get("/")]


def answering(*answers: bytes, connections: list[int] | None = None, close_after: int = 99) -> Talk:
    left = list(answers)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connections is not None:
            connections.append(1)
        for _ in range(close_after):
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            for piece in left.pop(0).split(b"|"):  # arrives in pieces
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    return talk


def test_keeps_the_connection_and_reads_both_kinds_of_bodies() -> None:
    seen: list[int] = []
    plain = b"HTTP/1.1 200 OK\r\nContent-|Length: 5\r\nX-Other: y\r\n\r\nhe|llo"
    chunked = b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc|\r\n2;x=1\r\nde\r\n0\r\n\r\n"
    first, second = against(answering(plain, chunked, connections=seen), twice)
    assert (first.status, first.body, first.headers[b"x-other"]) == (200, b"hello", b"y")
    assert (second.status, second.body) == (404, b"abcde")
    assert len(seen) == 1


def test_a_connection_closed_meanwhile_is_replaced() -> None:
    seen: list[int] = []
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    answers = against(answering(ok, ok, connections=seen, close_after=1), twice)
    assert [a.body for a in answers] == [b"ok", b"ok"]
    assert len(seen) == 2


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"nonsense\r\n\r\n"])
def test_a_broken_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(HttpError):
        against(answering(answer, close_after=1), once)


def test_silence_is_a_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    with pytest.raises(TimeoutError):
        against(silent, once, timeout_s=0.05)


def test_nobody_there_names_the_address() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await HttpPool(f"127.0.0.1:{port}").get("/")

    with pytest.raises(HttpError, match=r"cannot connect to 127\.0\.0\.1:"):
        asyncio.run(run())
