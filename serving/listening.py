"""How a server listens and leaves: what one connection may hold and for how long, and the order of a shutdown."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable, Sequence

from grpc_health.v1.health import aio

from adfeast.settings import Settings

AGE_GRACE_S = 10.0  # for the calls of a connection that is old
STREAMS = 128  # calls under way on one connection: what a client that reads slowly can make us hold
PING_S, PING_TIMEOUT_S = 30.0, 10.0  # a client that is gone without a word is noticed


def options(settings: Settings) -> list[tuple[str, int]]:
    """gRPC's options of a server."""
    found = [
        ("grpc.max_receive_message_length", settings.max_request_kb << 10),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.keepalive_time_ms", round(PING_S * 1000)),
        ("grpc.keepalive_timeout_ms", round(PING_TIMEOUT_S * 1000)),
        ("grpc.so_reuseport", int(settings.grpc_shared_port)),
    ]
    if settings.max_connection_age_s:
        found.append(("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1000)))
        found.append(("grpc.max_connection_age_grace_ms", round(AGE_GRACE_S * 1000)))
    return found


def take_all_connections() -> None:
    """Raises the limit of open files, a connection each, to what the system lets a process have: 1,024 are usual at
    first, and a storm of as many clients would leave none for the stores."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def leave(stops: Sequence[Callable[[], Awaitable[object]]], health: aio.HealthServicer, notice_s: float) -> None:
    """Says NOT_SERVING, goes on answering until balancers have seen it, then finishes what is under way.

    Args:
        stops: of each that listens for calls: takes no new ones, and gives those under way some time.
        notice_s: how long balancers take to look.
    """
    await health.enter_graceful_shutdown()
    await asyncio.sleep(notice_s)
    await asyncio.gather(*(stop() for stop in stops))
