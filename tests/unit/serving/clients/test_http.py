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


def echoing(delays: dict[bytes, float], connections: list[int]) -> Talk:
    """Answers each path with itself, after the delay that the test gives it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        try:
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
                await asyncio.sleep(delays.get(path, 0.0))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
        except asyncio.IncompleteReadError:
            writer.close()

    return talk


def test_a_call_that_is_given_up_leaves_its_connection_to_others() -> None:
    seen: list[int] = []

    async def use(pool: HttpPool) -> list[Response]:
        for n in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await pool.get(f"/slow{n}")
            await asyncio.sleep(0.08)
        return [await pool.get(f"/{n}") for n in range(5)]

    slow = {b"/slow%d" % n: 0.06 for n in range(5)}
    answers = against(echoing(slow, seen), use)
    assert [a.body for a in answers] == [b"/%d" % n for n in range(5)]  # each its own, none that was given up
    assert len(seen) == 1


def test_a_connection_that_never_answers_is_ended_after_its_time() -> None:
    seen: list[int] = []

    async def use(pool: HttpPool) -> list[Response]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await pool.get("/never")
        other = await pool.get("/other")  # does not wait for it
        await asyncio.sleep(0.3)
        assert not pool._drained
        return [other, await pool.get("/more")]

    answers = against(echoing({b"/never": 99.0}, seen), use, timeout_s=0.1)
    assert [a.body for a in answers] == [b"/other", b"/more"]
    assert len(seen) == 2


def test_a_login_goes_with_every_call() -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await HttpPool(address, authorization="Bearer t").get("/")
        await HttpPool(address).get("/")
        server.close()

    asyncio.run(run())
    assert [b"\r\nAuthorization: Bearer t\r\n" in head for head in heads] == [True, False]


def test_nobody_there_names_the_address() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await HttpPool(f"127.0.0.1:{port}").get("/")

    with pytest.raises(HttpError, match=r"cannot connect to 127\.0\.0\.1:"):
        asyncio.run(run())
