"""A small HTTP/1.1 client for the request path: keep-alive connections, one request at a time on each, bytes to bytes.

The general clients cost 0.3 to 8 ms of CPU a call, most of it in objects that are thrown away; Triton and DynamoDB need
none of it. Bodies come with Content-Length or chunked; redirects, cookies and proxies are not for services of our own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from serving.clients.waiting import within

Part = bytes | memoryview


@dataclass(frozen=True)
class Response:
    """An answer; header names are in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class HttpError(ConnectionError):
    """The peer cannot be reached, broke off within an answer, or answered something that is not HTTP/1.1."""


class _Connection(asyncio.Protocol):
    """One connection; `exchange` may be called again once its future is done."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[Response] | None = None
        self._head: tuple[int, dict[bytes, bytes]] | None = None
        self._whole = False
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.left: Callable[[], None] | None = None  # told when the answer to a given up call has come, or cannot

    @property
    def unanswered(self) -> bool:
        """Whether an answer is still to come, and can."""
        return self._answer is not None and not self._whole and not self.closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def exchange(self, parts: Sequence[Part]) -> asyncio.Future[Response]:
        """Sends a request; the future is its answer."""
        assert self.transport is not None
        self._answer, self._whole = asyncio.get_running_loop().create_future(), False
        self.transport.writelines(parts)
        return self._answer

    def close(self) -> None:
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            response = self._parse()
        except ValueError as error:
            self.close()
            self._fail(HttpError(f"not an HTTP/1.1 answer: {error}"))
            return
        if response is None:
            return
        self._whole = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response)
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._fail(HttpError(f"connection closed before the answer was complete{f': {exc}' if exc else ''}"))

    def _settle(self) -> None:
        left, self.left = self.left, None
        if left is not None:
            left()

    def _fail(self, error: HttpError) -> None:
        self._settle()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _parse(self) -> Response | None:
        buffer = self._buffer
        if self._head is None:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            status, *lines = bytes(buffer[:end]).split(b"\r\n")
            pairs = (line.split(b":", 1) for line in lines)
            self._head = int(status.split(b" ", 2)[1]), {name.lower(): value.strip() for name, value in pairs}
            del buffer[: end + 4]
        status_code, headers = self._head
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = _dechunk(buffer)
        else:
            size = int(headers.get(b"content-length", b"0"))
            body = bytes(buffer[:size]) if len(buffer) >= size else None
        if body is None:
            return None
        if headers.get(b"connection", b"").lower() == b"close":
            self.closed = True
        buffer.clear()
        self._head = None
        return Response(status_code, headers, body)


def _dechunk(buffer: bytearray) -> bytes | None:
    """The body of a complete chunked message, None while it is not complete."""
    if not buffer.endswith(b"0\r\n\r\n"):
        return None
    parts: list[bytes] = []
    at = 0
    while True:
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(bytes(buffer[at:end]).split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        if end + 2 + size > len(buffer):
            return None
        parts.append(bytes(buffer[end + 2 : end + 2 + size]))
        at = end + 2 + size + 2


class HttpPool:
    """Keep-alive connections to one address.

    Args:
        url: `http://host:port`, `https://...` or `host:port`; a path is ignored here.
        connections: how many at most; further calls wait for one.
        timeout_s: of one call, connecting included; waiting for a connection may take as long again.
        authorization: the value of the header; empty for none.
        tls_ca: what has signed the peer's certificate; None: whom the system trusts.

    Attributes:
        login: the header's line, for those who write a request's head themselves.
    """

    def __init__(
        self,
        url: str,
        connections: int = 64,
        timeout_s: float = 2.0,
        *,
        authorization: str = "",
        tls_ca: Path | None = None,
    ) -> None:
        split = urlsplit(url if "//" in url else f"http://{url}")
        self.tls = split.scheme == "https"
        self.host, self.port = split.hostname or "", split.port or (443 if self.tls else 80)
        default_port = split.port is None
        self.authority = (self.host if default_port else f"{self.host}:{self.port}").encode()
        self._tls_context = ssl.create_default_context(cafile=tls_ca) if self.tls else None
        self.login = f"Authorization: {authorization}\r\n".encode() if authorization else b""
        self._idle: list[_Connection] = []
        self._free, self._most = asyncio.Semaphore(connections), connections
        self._drained: dict[_Connection, asyncio.TimerHandle] = {}
        self._timeout_s = timeout_s

    async def request(self, parts: Sequence[Part], timeout_s: float | None = None) -> Response:
        """Sends the bytes of one request (head and body) and returns the answer. A kept connection that the peer has
        closed meanwhile is replaced once, so only send what may be sent twice.

        Args:
            timeout_s: another one than the pool's.

        Raises:
            HttpError: the peer is not there or breaks off.
            TimeoutError: no answer in time.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        if self._free.locked():
            async with asyncio.timeout(timeout_s):
                await self._free.acquire()
        else:
            await self._free.acquire()  # at once
        try:
            until = asyncio.get_running_loop().time() + timeout_s  # it starts with a connection
            while self._idle:
                kept = self._idle.pop()
                if not kept.closed:
                    try:
                        return await self._exchange(kept, parts, until)
                    except HttpError:
                        break
            async with asyncio.timeout_at(until):
                connection = await self._connect()
            return await self._exchange(connection, parts, until)
        finally:
            self._free.release()

    async def get(self, path: str) -> Response:
        """A plain GET; for control, not for the request path."""
        return await self.request(
            [b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (path.encode(), self.authority, self.login)]
        )

    async def _exchange(self, connection: _Connection, parts: Sequence[Part], until: float) -> Response:
        whole = False
        try:
            response = await within(connection.exchange(parts), until - asyncio.get_running_loop().time())
            whole = True
            return response
        finally:  # also when cancelled: the rest of an unread answer must not meet the next request
            if whole and not connection.closed:
                self._idle.append(connection)
            elif not whole and connection.unanswered and len(self._drained) < self._most:
                self._drain(connection)
            else:
                connection.close()

    def _drain(self, connection: _Connection) -> None:
        """Keeps a connection whose call was given up until its answer has come, and may go on then.

        Deadlines expire in crowds, when the peer is slow: if each ended its connection, the peer would have to greet as
        many new ones just then.
        """

        def answered() -> None:
            self._drained.pop(connection).cancel()
            if not connection.closed:
                self._idle.append(connection)

        def too_late() -> None:
            del self._drained[connection]
            connection.left = None
            connection.close()

        self._drained[connection] = asyncio.get_running_loop().call_later(self._timeout_s, too_late)
        connection.left = answered

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            made: Any = await loop.create_connection(_Connection, self.host, self.port, ssl=self._tls_context)
        except OSError as error:
            raise HttpError(f"cannot connect to {self.authority.decode()}: {error}") from error
        return cast(_Connection, made[1])

    def close(self) -> None:
        """Closes the connections that no call is on."""
        for timer in self._drained.values():
            timer.cancel()
        for connection in (*self._idle, *self._drained):
            connection.left = None
            connection.close()
        self._idle.clear()
        self._drained.clear()
