"""Valkey that asks for a name and a password, behind TLS.

The server of the wheel is built without TLS, so it is ended in front of it, as a load balancer or stunnel does.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.parts.valkey import binary
from tests.cluster.servers import Servers, answers, free_ports


@contextmanager
def secured_valkey(servers: Servers, user: str, password: str, certificate: Path) -> Iterator[int]:
    """The port at which TLS is spoken; a client without the login is told nothing."""
    [port] = free_ports(1)
    folder = servers.home.data("valkey")
    folder.mkdir(parents=True)
    acl = folder / "users.acl"
    acl.write_text(f"user default off\nuser {user} on >{password} ~* &* +@all\n")
    options = {"bind": "127.0.0.1", "port": port, "dir": folder, "aclfile": acl, "save": "", "appendonly": "yes"}
    servers.start("valkey", [binary(), *(str(word) for o, value in options.items() for word in (f"--{o}", value))])
    servers.wait("valkey listens", answers(f"127.0.0.1:{port}"))
    with _tls_in_front_of(port, certificate) as spoken:
        yield spoken


@contextmanager
def _tls_in_front_of(port: int, certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    loop = asyncio.new_event_loop()

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        except OSError:
            pass  # one of the two went away
        finally:
            target.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, inner_writer), pass_on(inner_reader, writer))

    server = loop.run_until_complete(asyncio.start_server(connected, "127.0.0.1", 0, ssl=context))
    running = threading.Thread(target=loop.run_forever, daemon=True)
    running.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        running.join(10)
