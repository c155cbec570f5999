"""What the server knows of how far the values of each stream view are; followed off the request path.

The writer keeps the watermarks in one hash beside the values. What is known of them ages by itself, so a Redis that
does not answer, a writer that stands still and a job that is dead all end in the same: the view's values are stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from adfeast.contract.definitions import View
from adfeast.contract.event_rules import AHEAD_MS
from adfeast.contract.freshness import is_stale
from adfeast.feast_ext.online_layout import redis_watermarks_key, view_watermark
from serving.features.memory import MemoryRedis
from serving.features.redis import RedisTier
from serving.features.redis_cluster import RedisClusterTier

POLL_S = 0.5


class Watermarks:
    """The watermarks of one project's views as Redis last gave them, also when they went back.

    Args:
        replay_speed: see `adfeast.settings.Settings`.
    """

    def __init__(
        self, redis: RedisTier | RedisClusterTier | MemoryRedis, project: str, replay_speed: float = 1.0
    ) -> None:
        self._redis, self._speed = redis, replay_speed
        key = redis_watermarks_key(project)
        self._command = b"*2\r\n$7\r\nHGETALL\r\n$%d\r\n%s\r\n" % (len(key), key)
        self._stored: dict[bytes, bytes] = {}
        self._known: dict[str, int | None] = {}

    @property
    def stored(self) -> Mapping[bytes, bytes]:
        """The hash of watermarks as Redis last gave it."""
        return self._stored

    def of(self, view: str) -> int | None:
        """The watermark of a view in milliseconds since 1970, None while none is known."""
        if view not in self._known:
            self._known[view] = view_watermark(self._stored, view)
        return self._known[view]

    def stale(self, views: Iterable[View], at_ms: int, clock_ms: int) -> tuple[str, ...]:
        """Names of the stream views whose values must not be believed at a request's time.

        A request from the future is judged by the clock: the clock of one caller must not make values old.
        """
        return stale_views(self.of, views, at_ms, clock_ms, self._speed)

    async def look(self) -> None:
        """Asks Redis once; if it does not answer, what is known stays as it is, and ages.

        Raises:
            StoreUnavailable: it does not.
        """
        answer = await self._redis.receive(self._redis.send([self._command]))
        pairs = iter(answer)
        self._stored = {k: v for k, v in zip(pairs, pairs, strict=True) if k is not None and v is not None}
        self._known = {}


def stale_views(
    watermark: Callable[[str], int | None], views: Iterable[View], at_ms: int, clock_ms: int, speed: float
) -> tuple[str, ...]:
    """See `Watermarks.stale`; `watermark` gives what is known of a view, `speed` is that of a replay."""
    at, found = min(at_ms, clock_ms), []
    for view in views:
        if view.fresh_within_s is None:
            continue
        known = watermark(view.name)
        # One from the future is no watermark: nothing behind it would ever be stale.
        ahead = known is not None and known > clock_ms + AHEAD_MS
        if ahead or is_stale(known, at, view.fresh_within_s, speed):
            found.append(view.name)
    return tuple(found)
