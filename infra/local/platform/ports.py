"""Free TCP ports, remembered, so that addresses stay the same from one `up` to the next."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from pathlib import Path

from infra.local.errors import PlatformError

# Below Linux's ephemeral range, from which outgoing connections could take a port of a part that is down.
RANGE = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Ports:
    """The ports of one platform.

    Args:
        file: where they are kept.
        ours: tells whether the part that owns a port runs, so that its being taken is right.
    """

    def __init__(self, file: Path, ours: Callable[[str], bool]) -> None:
        self.file, self._ours = file, ours
        self._ports: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        self._checked: set[str] = set()

    def get(self, part: str, use: str = "main") -> int:
        """The port of `part` for `use`: the remembered one unless a stranger took it meanwhile."""
        key = f"{part}.{use}"
        if key in self._checked:
            return self._ports[key]
        port = self._ports.get(key)
        if port is None or not (self._ours(part) or is_free(port)):
            self._ports[key] = self._choose()
            self.file.write_text(json.dumps(self._ports, indent=1))
        self._checked.add(key)
        return self._ports[key]

    def _choose(self) -> int:
        taken = set(self._ports.values())
        for port in random.sample(RANGE, 200):
            if port not in taken and is_free(port):
                return port
        raise PlatformError(f"no free port found between {RANGE.start} and {RANGE.stop}")
