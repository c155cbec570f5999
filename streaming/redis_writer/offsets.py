"""Which offsets may be committed: those whose rows outlive the death of Redis.

Redis writes its log to disk once a second and its replicas follow; whoever commits earlier loses, with the server, rows
that nobody reads again. So Redis is asked, at most once at a time, whether what was written is safe (store.ask). One
that cannot say so, like ElastiCache, gets time instead.
"""

from __future__ import annotations

from collections import deque

from adfeast.clock import Clock
from streaming.kafka_admin import Offsets
from streaming.redis_writer.cluster import RedisClusterStore
from streaming.redis_writer.store import RedisStore, Safety

COMMIT_DELAY_MS = 3_000  # longer than the two seconds that a log written "every second" may lie back


class SafeOffsets:
    """Follows what was written to what may be committed."""

    def __init__(self, store: RedisStore | RedisClusterStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._cannot_say = False
        self.forget()

    def forget(self) -> None:
        """The partitions are another's now, or are read again from what was committed."""
        self._written: Offsets = {}
        self._asked: Offsets | None = None
        self._safe: Offsets = {}
        self._aging: deque[tuple[int, Offsets]] = deque()

    def written(self, offsets: Offsets) -> None:
        """Redis has acknowledged everything below these offsets."""
        self._written |= offsets
        if self._cannot_say:
            self._aging.append((self._clock.now_ms(), dict(offsets)))

    def safe(self, *, wait: bool = False) -> Offsets:
        """What has become safe since the last call.

        Args:
            wait: for everything that was written.

        Raises:
            redis.ConnectionError: Redis has died; nothing more of what was written is safe.
        """
        if self._cannot_say:
            return self._aged()
        found: Offsets = {}
        while self._asked is not None or self._written != self._safe:
            if self._asked is None:
                self._store.ask()
                self._asked = dict(self._written)
            answer = self._store.told(wait=wait)
            if answer is Safety.ASKED:
                break
            asked, self._asked = self._asked, None
            if answer is Safety.UNKNOWN:
                self._cannot_say = True
                self._aging.append((self._clock.now_ms(), dict(self._written)))
            if answer is not Safety.SAFE:
                break
            self._safe = asked
            found |= asked
            if not wait:
                break
        return found

    def _aged(self) -> Offsets:
        found: Offsets = {}
        while self._aging and self._clock.now_ms() - self._aging[0][0] >= COMMIT_DELAY_MS:
            found |= self._aging.popleft()[1]
        return found
