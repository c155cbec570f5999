"""Feast's `Value` and `Timestamp` messages as Redis takes them (RESP bulk strings), made for whole columns at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.feast_ext.online_layout import varint

SMALL = 1 << 14
# Tags of the messages' fields: number * 8 + wire type.
INT64, DOUBLE, FLOAT, SECONDS, NANOS = b"\x20", b"\x29", b"\x35", b"\x08", b"\x10"


def bulk(data: bytes) -> bytes:
    """A RESP bulk string."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def ints(column: NDArray[Any]) -> list[bytes]:
    """Values of an int64 feature."""
    # Counters are small: nearly all of them are looked up.
    if len(column) and column.min() >= 0 and column.max() < SMALL:
        return _SMALL[column].tolist()  # type: ignore[no-any-return]
    return [_int(number) for number in column.tolist()]


def doubles(column: NDArray[Any]) -> list[bytes]:
    """Values of a float64 feature."""
    return _fixed(column, DOUBLE, "<f8")


def floats(column: NDArray[Any]) -> list[bytes]:
    """Values of a float32 feature; what is too large for one is infinite."""
    with np.errstate(over="ignore"):
        return _fixed(column.astype("<f4"), FLOAT, "<f4")


def times(column: Iterable[int]) -> list[bytes]:
    """Timestamps from milliseconds since 1970."""
    return [bulk(_seconds(ms // 1000) + _NANOS[ms % 1000]) for ms in column]


ENCODERS: dict[str, Callable[[NDArray[Any]], list[bytes]]] = {"int64": ints, "float64": doubles, "float32": floats}


def _fixed(column: NDArray[Any], tag: bytes, form: str) -> list[bytes]:
    before, after = b"$%d\r\n%b" % (1 + column.dtype.itemsize, tag), b"\r\n"
    out = np.empty(len(column), [("before", f"V{len(before)}"), ("value", form), ("after", "V2")])
    out["before"], out["value"], out["after"] = np.void(before), column, np.void(after)
    text, size = out.tobytes(), out.itemsize
    return [text[i : i + size] for i in range(0, len(text), size)]


def _int(number: int) -> bytes:
    return bulk(INT64 + varint(number & (1 << 64) - 1))


@lru_cache(maxsize=1 << 16)
def _seconds(number: int) -> bytes:
    return SECONDS + varint(number) if number else b""


_SMALL = np.array([_int(n) for n in range(SMALL)], object)
_NANOS = [NANOS + varint(ms * 1_000_000) if ms else b"" for ms in range(1000)]
