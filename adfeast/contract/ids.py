"""The one hash of string ids, equal in Python, Spark, DuckDB and Flink.

The first 15 hex digits of MD5 as a non-negative int64: below 2**60, so it survives every engine's signed 64-bit type.
Buckets (`hash_size`) are the model's matter and never appear here. The SQL forms are what batch queries call.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

SPARK_HASH_ID = (
    "CREATE OR REPLACE TEMPORARY FUNCTION hash_id(s STRING) RETURNS BIGINT "
    "RETURN CAST(conv(substr(md5(s), 1, 15), 16, 10) AS BIGINT)"
)
DUCKDB_HASH_ID = "CREATE OR REPLACE MACRO hash_id(s) AS ('0x' || substr(md5(s), 1, 15))::BIGINT"

MISSING_ID = -1  # the id of a value that is not there; models give it a bucket of its own
LONGEST_KEPT = 256  # characters; what is longer is no id that comes back, and 65,536 of them would fill the memory


def hash_id(text: str) -> int:
    """int64 in [0, 2**60) of a string."""
    return _kept(text) if len(text) <= LONGEST_KEPT else _hash(text)


def _hash(text: str) -> int:
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:15], 16)


_kept = lru_cache(maxsize=1 << 16)(_hash)
