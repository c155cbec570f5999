"""Turns Feast's stored bytes (serialized `Value` and `Timestamp` protos) into numbers, each distinct one once.

Counters, ids and row times repeat from request to request, so a bounded memo answers most of them at the price of a
dictionary lookup (0.04 ms for 1,000 values against 0.54 ms of parsing).
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.ids import MISSING_ID, hash_id
from adfeast.feast_ext.online_layout import varint

log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")
MEMO_ENTRIES = 1 << 16
LONGEST_KEPT = 256  # bytes of a value that is remembered
FLOAT32_MAX = float(np.finfo(np.float32).max)
ABSENT_ID = int(np.iinfo(np.int64).min)  # no stored id: Feast keeps `hash_id`s, which are never negative


class Memo(dict[K, V], Generic[K, V]):
    """A dictionary that makes what it lacks and forgets everything when it is full: no bookkeeping on a hit."""

    def __init__(self, make: Callable[[K], V], entries: int = MEMO_ENTRIES) -> None:
        super().__init__()
        self._make, self._entries = make, entries

    def __missing__(self, key: K) -> V:
        if len(self) >= self._entries:
            self.clear()
        value = self[key] = self._make(key)
        return value


class _ValueMemo(Memo[bytes | None, V]):
    """A memo of stored values; a long one is read again each time, for thousands of them would fill the memory."""

    def __missing__(self, key: bytes | None) -> V:
        return super().__missing__(key) if key is None or len(key) <= LONGEST_KEPT else self._make(key)


class ValueDecoder:
    """Decodes stored values; `None` and the empty proto stand for no value, and so does what cannot be read: bytes that
    are no proto, or a value of another type than its feature has today. Each kind of fault is logged once.

    Attributes:
        number: bytes to float, NaN for none and for what no float32 can hold.
        identity: bytes to int64, `ABSENT_ID` for none; a text is hashed.
        time_ms: bytes of a Timestamp to milliseconds since 1970, 0 for none.
        iso_ms: DynamoDB's text form of the same.
    """

    def __init__(self) -> None:
        # `load_definitions` has these loaded without `feast` itself, whose import takes seconds.
        self._value: Any = importlib.import_module("feast.protos.feast.types.Value_pb2").Value
        self._timestamp: Any = importlib.import_module("google.protobuf.timestamp_pb2").Timestamp
        self.number: Memo[bytes | None, float] = _ValueMemo(self._number)
        self.identity: Memo[bytes | None, int] = _ValueMemo(self._identity)
        self.time_ms: Memo[bytes | None, int] = _ValueMemo(self._time_ms)
        self.iso_ms: Memo[str, int] = Memo(_iso_ms)
        self._complained: set[tuple[str, str]] = set()

    def complain(self, what: str, problem: str) -> None:
        """Logs a fault of stored data, once for each thing it was found in and each kind."""
        kind = problem.split("(", 1)[0]
        if (what, kind) not in self._complained:
            self._complained.add((what, kind))
            log.error("%s: %s", what, problem)

    def ids(self, data: bytes | None, out: NDArray[np.int64], name: str) -> bool:
        """Writes a list of ids, cut to the length of `out` and padded with -1; False when there is none."""
        if not data:
            return False
        found = self._parse(data)
        if found is None:
            return False
        if not hasattr(found, "val") or (len(found.val) and not isinstance(found.val[0], int)):
            self.complain(name, f"a stored value is no list of ids (but {type(found).__name__}): served as missing")
            return False
        stored = found.val[: len(out)]
        out[:] = MISSING_ID
        out[: len(stored)] = stored
        return True

    def embedding(self, data: bytes | None, out: NDArray[np.float32], name: str) -> bool:
        """Writes an embedding; False when there is none, none of this length, or one that is not finite."""
        if not data:
            return False
        size = 4 * len(out)
        # A packed float list ends with its little-endian floats: no Python object a number.
        if len(data) > size and data[:-size] == self._float_list_head(size):
            out[:] = np.frombuffer(data, "<f4", offset=len(data) - size)
        else:
            stored = getattr(self._parse(data), "val", ())
            if len(stored) != len(out):
                self.complain(
                    name, f"is declared with dim={len(out)} (a stored one has {len(stored)}): served as missing"
                )
                return False
            out[:] = stored
        if not np.isfinite(out).all():
            self.complain(name, "a stored embedding is not finite: served as missing")
            return False
        return True

    @staticmethod
    def _float_list_head(size: int) -> bytes:
        inner = b"\x0a" + varint(size)
        return b"\x82\x01" + varint(len(inner) + size) + inner

    def _parse(self, data: bytes | None) -> Any:
        if not data:
            return None
        try:
            value = self._value.FromString(data)
        except self._broken as error:
            self.complain("a stored value", f"is not Feast's proto ({error}): served as missing")
            return None
        kind = value.WhichOneof("val")
        return None if kind in (None, "null_val") else getattr(value, kind)

    @property
    def _broken(self) -> Any:
        return importlib.import_module("google.protobuf.message").DecodeError

    def _number(self, data: bytes | None) -> float:
        value = self._parse(data)
        if value is None:
            return math.nan
        if not isinstance(value, int | float):
            self.complain("a stored value", f"is no number (but {type(value).__name__}): served as missing")
            return math.nan
        # `not <=` also catches a stored NaN.
        return math.nan if not abs(value) <= FLOAT32_MAX else float(value)

    def _identity(self, data: bytes | None) -> int:
        value = self._parse(data)
        if value is None:
            return ABSENT_ID
        if isinstance(value, str):
            return hash_id(value)
        if not isinstance(value, int):
            self.complain("a stored value", f"is no id (but {type(value).__name__}): served as missing")
            return ABSENT_ID
        return int(value)

    def _time_ms(self, data: bytes | None) -> int:
        try:
            return int(self._timestamp.FromString(data).ToMilliseconds()) if data else 0
        except (self._broken, ValueError) as error:  # no proto, or one of a time that cannot be
            self.complain("a stored row time", f"is no Timestamp ({error}): its row is served as too old")
            return 0


def _iso_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
