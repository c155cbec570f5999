"""Where Feast keeps a row of an entity in its online stores, byte for byte, without importing Feast.

An entity key is Feast's serialized one, version 3. Redis: one hash an entity over all views under entity key + project;
a feature's field is the murmur3_32 of `view:feature`, little-endian; `_ts:<view>` holds the row's Timestamp. Beside
them, and not Feast's, stands one hash with the watermarks of a project's stream views.
DynamoDB: one table a view, the partition key is the murmur3_128 of the entity key. Feast gives a row no end; ours adds
one attribute that Feast does not read, by which a table with a TTL drops it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache

import mmh3

from adfeast.contract.definitions import Definitions

_STRING = 2  # Feast's ValueType.STRING
DYNAMODB_KEY = "entity_id"
DYNAMODB_EXPIRY = "expires_at"
# A row is told as too old for so long after its end, and only then as missing.
DYNAMODB_SPARE_S = 7 * 86_400


@lru_cache
def _prefix(join_key: str) -> bytes:
    name = join_key.encode()
    return struct.pack("<III", 1, _STRING, len(name)) + name + struct.pack("<I", _STRING)


def entity_key(join_key: str, value: str) -> bytes:
    """Serialized key of an entity with one string join key."""
    key = value.encode()
    return _prefix(join_key) + struct.pack("<I", len(key)) + key


def redis_key(join_key: str, value: str, project: str) -> bytes:
    """Key of the hash of an entity."""
    return entity_key(join_key, value) + project.encode()


def redis_field(view: str, feature: str) -> bytes:
    """Field of a feature in its entity's hash."""
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def redis_time_field(view: str) -> bytes:
    """Field of the time of a view's row."""
    return f"_ts:{view}".encode()


def redis_watermarks_key(project: str) -> bytes:
    """Key of the hash with the watermarks of a project's stream views, decimal milliseconds.

    A mark of time takes as many ways to the store as the view has keys of its own for it; each way has a field.
    """
    return f"adfeast:watermarks:{project}".encode()


def redis_watermark_field(view: str, way: int) -> bytes:
    """Field of the watermark that came by one way, numbered from 0."""
    return b"%s:%d" % (view.encode(), way)


def redis_ways_field(view: str) -> bytes:
    """Field of the number of ways, decimal."""
    return view.encode()


def view_watermark(stored: Mapping[bytes, bytes], view: str) -> int | None:
    """The watermark of a view, the least of its ways; None while one of them has brought none, or none can be read."""
    try:
        ways = int(stored[redis_ways_field(view)])
        return min(int(stored[redis_watermark_field(view, n)]) for n in range(ways))
    except (KeyError, ValueError):
        return None


def dynamodb_table(project: str, view: str) -> str:
    """Table of a view."""
    return f"{project}.{view}"


def dynamodb_keep_s(max_age_s: int) -> int:
    """How long after its time a row is kept that is served for `max_age_s`."""
    return max_age_s + DYNAMODB_SPARE_S


def dynamodb_id(join_key: str, value: str) -> str:
    """Partition key of an entity's row."""
    return mmh3.hash_bytes(entity_key(join_key, value)).hex()


def redis_lifetimes(definitions: Definitions) -> dict[str, int]:
    """Join key to the seconds in which a hash of its entities, once written, must not go: no value is served longer."""
    views = [v for v in definitions.views.values() if v.tier == "redis"]
    return {v.join_key: max(w.max_age_s for w in views if w.join_key == v.join_key) for v in views}


def redis_life(keep_s: int) -> tuple[int, int]:
    """The least seconds that a hash may still have when a row was written, and those it is given when it has less.

    They lie apart, so that few of its rows have to set how long it lives.
    """
    return keep_s + keep_s // 8 + 1, keep_s + keep_s // 4 + 1


def varint(number: int) -> bytes:
    """A number that is not negative, as protocol buffers write it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
