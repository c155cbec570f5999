"""Where Feast keeps a row of an entity in its online stores, byte for byte, without importing Feast.

An entity key is Feast's serialized one, version 3. Redis: one hash an entity over all views under entity key + project;
a feature's field is the murmur3_32 of `view:feature`, little-endian; `_ts:<view>` holds the row's Timestamp.
DynamoDB: one table a view, the partition key is the murmur3_128 of the entity key. Feast gives a row no end; ours adds
one attribute that Feast does not read, by which a table with a TTL drops it.
"""

from __future__ import annotations

import struct
from functools import lru_cache

import mmh3

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


def dynamodb_table(project: str, view: str) -> str:
    """Table of a view."""
    return f"{project}.{view}"


def dynamodb_keep_s(max_age_s: int) -> int:
    """How long after its time a row is kept that is served for `max_age_s`."""
    return max_age_s + DYNAMODB_SPARE_S


def dynamodb_id(join_key: str, value: str) -> str:
    """Partition key of an entity's row."""
    return mmh3.hash_bytes(entity_key(join_key, value)).hex()
