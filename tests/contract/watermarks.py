"""Says how far the stream views are, as the Redis writer does: without it every value of a stream is stale."""

from __future__ import annotations

from collections.abc import Iterable

from adfeast.access import RedisAccess
from adfeast.contract.definitions import Definitions
from adfeast.feast_ext.online_layout import redis_watermark_field, redis_watermarks_key, redis_ways_field
from adfeast.settings import Settings

WAYS = 2


def watermark_fields(views: Iterable[str], ms: int) -> dict[bytes, bytes]:
    """The fields of views that all stand at one time."""
    fields: dict[bytes, bytes] = {}
    for view in views:
        fields[redis_ways_field(view)] = b"%d" % WAYS
        fields |= {redis_watermark_field(view, n): b"%d" % ms for n in range(WAYS)}
    return fields


def stand_at(settings: Settings, definitions: Definitions, ms: int) -> None:
    """Every stream view has come to `ms`, and not further."""
    views = [v.name for v in definitions.views.values() if v.kind == "stream"]
    client = RedisAccess.of(settings).client()
    client.hset(redis_watermarks_key(settings.project), mapping=watermark_fields(views, ms))
    client.close()
