"""What the calls want to know of a request over HTTP: who sends it, and until when an answer is worth anything."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from adfeast.errors import shown
from serving.errors import InvalidRequest

DEADLINE = "X-Deadline-Ms"
LONGEST_MS = 3_600_000


@dataclass(frozen=True)
class HttpCall:
    """The two questions that `serving.api` asks of gRPC's context.

    Attributes:
        until_s: when the deadline is, by `now_s`; None without one.
        now_s: of the event loop.
    """

    address: str
    now_s: float
    until_s: float | None

    @classmethod
    def of(cls, request: web.Request, now_s: float) -> HttpCall:
        """Raises: InvalidRequest: the deadline is no number of milliseconds."""
        return cls(_address(request), now_s, _deadline(request, now_s))

    def at(self, now_s: float) -> HttpCall:
        """The same call some time later."""
        return HttpCall(self.address, now_s, self.until_s)

    def time_remaining(self) -> float | None:
        """Seconds until the deadline."""
        return None if self.until_s is None else max(0.0, self.until_s - self.now_s)

    def peer(self) -> str:
        """The sender, as gRPC writes it."""
        return self.address


def _deadline(request: web.Request, now_s: float) -> float | None:
    text = request.headers.get(DEADLINE)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LONGEST_MS)) and 0 < int(text) <= LONGEST_MS):
        raise InvalidRequest(
            f"the header {DEADLINE} is {shown(text)}",
            f"send how many milliseconds the answer may take, 1 to {LONGEST_MS}, or leave it out",
            field=DEADLINE,
            value=shown(text),
        )
    return now_s + int(text) / 1000


def _address(request: web.Request) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not isinstance(peer, tuple):
        return "unknown"
    host, port = peer[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
