"""A Redis Cluster of three masters on this machine, of the Valkey server that the platform runs."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from adfeast.redis_slots import SLOTS
from infra.local.parts.valkey import binary

MASTERS = 3
READY_S = 60.0


class Cluster:
    """Up in the block; nothing outlives it.

    Attributes:
        nodes: a client of each master, which asks that one only.
    """

    def __init__(self, folder: Path) -> None:
        ports = _free_ports(2 * MASTERS)
        self.addresses = [("127.0.0.1", port) for port in ports[:MASTERS]]
        self._servers = []
        for (host, port), bus in zip(self.addresses, ports[MASTERS:], strict=True):
            place = folder / str(port)
            place.mkdir()
            options = {"bind": host, "port": port, "cluster-port": bus, "dir": place, "logfile": place / "log"}
            options |= {"cluster-enabled": "yes", "cluster-node-timeout": 5000, "appendonly": "yes", "save": ""}
            command = [binary(), *(str(word) for o, value in options.items() for word in (f"--{o}", value))]
            self._servers.append(subprocess.Popen(command))
        self.nodes = [redis.Redis(*address, socket_timeout=10) for address in self.addresses]
        self._buses = ports[MASTERS:]

    def __enter__(self) -> Self:
        try:
            self._until(lambda: all(node.ping() for node in self.nodes))
            size = -(-SLOTS // MASTERS)
            for i, node in enumerate(self.nodes):
                node.execute_command("CLUSTER", "ADDSLOTSRANGE", i * size, min((i + 1) * size, SLOTS) - 1)
                self.nodes[0].execute_command("CLUSTER", "MEET", *self.addresses[i], self._buses[i])
            self._until(lambda: all(self._is_whole(node) for node in self.nodes))
        except BaseException:
            self.stop()
            raise
        return self

    @staticmethod
    def _is_whole(node: Any) -> bool:
        ok = b"cluster_state:ok" in node.execute_command("CLUSTER", "INFO")
        return ok and len(node.execute_command("CLUSTER", "SLOTS")) >= MASTERS

    def _until(self, ready: Any) -> None:
        until = time.monotonic() + READY_S
        while True:
            try:
                if ready():
                    return
            except redis.ConnectionError:
                assert all(server.poll() is None for server in self._servers), "a master ended"
            assert time.monotonic() < until, "the cluster is not ready"
            time.sleep(0.05)

    def move(self, slot: int) -> None:
        """Gives a slot and what is in it from its master to another one."""
        self.arrive(*self.send_off(slot))

    def send_off(self, slot: int) -> tuple[int, int, int]:
        """Moves what is in a slot, which its master still has; the slot with its master and the other one."""
        source = next(i for i, node in enumerate(self.nodes) if self._has(node, slot, i))
        target = (source + 1) % MASTERS
        ids = [node.execute_command("CLUSTER", "MYID").decode() for node in self.nodes]
        self.nodes[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        self.nodes[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        while keys := self.nodes[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            self.nodes[source].execute_command("MIGRATE", *self.addresses[target], "", 0, 5000, "KEYS", *keys)
        return slot, source, target

    def arrive(self, slot: int, source: int, target: int) -> None:
        """Ends what `send_off` began."""
        own = self.nodes[target].execute_command("CLUSTER", "MYID").decode()
        for i in (target, source, *(set(range(MASTERS)) - {target, source})):
            self.nodes[i].execute_command("CLUSTER", "SETSLOT", slot, "NODE", own)

    def _has(self, node: Any, slot: int, place: int) -> bool:
        own, held = self.addresses[place][1], node.execute_command("CLUSTER", "SLOTS")
        return any(first <= slot <= last and master[1] == own for first, last, master, *_ in held)

    def stop(self) -> None:
        """Ends the servers."""
        for client in self.nodes:
            client.close()
        for server in self._servers:
            server.kill()
            server.wait()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
