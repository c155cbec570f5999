"""The types that a column of an event may have, and the rules that one value must keep."""

from __future__ import annotations

import math
import struct
from typing import Any

from adfeast.contract.event_rules import FINITE, ID, RANGE, TEXT, TIME, TYPE, Rules
from adfeast.errors import InvalidEvent, shown

TIMESTAMP = "timestamp-millis"
COLUMN_TYPES: dict[str, tuple[type, ...]] = {  # that a definition may declare
    "string": (str,),
    "int": (int,),
    "long": (int,),
    "float": (float, int),
    "double": (float, int),
    "boolean": (bool,),
}
PYTHON_TYPES = COLUMN_TYPES | {"bytes": (bytes,)}  # and what snapshots hold
_BOUNDS = {"int": 1 << 31, "long": 1 << 63}
_FLOATS = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}


def check_value(name: str, kind: str, value: Any, rules: Rules, *, optional: bool) -> None:
    """Checks what stands in a column.

    Args:
        kind: the column's type in the short form of a plan.
        optional: the column has a default: an id that may be left out is empty when it is.

    Raises:
        InvalidEvent: the value is none that the column may have; `rule` says which one it breaks.
    """
    if kind == "array<string>":
        if not isinstance(value, list) or any(not isinstance(v, str) for v in value):
            raise InvalidEvent(f"must be a list of strings, got {shown(value)}", rule=TYPE)
        for text in value:
            _utf8(text)
        return
    plain = "long" if kind == TIMESTAMP else kind
    kinds: Any = PYTHON_TYPES[plain]
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind != "boolean"):
        raise InvalidEvent(f"must be {plain}, got {shown(value)} ({type(value).__name__})", rule=TYPE)
    if plain in _BOUNDS and not -_BOUNDS[plain] <= value < _BOUNDS[plain]:
        raise InvalidEvent(f"must fit {plain}, got {shown(value)}", rule=RANGE)
    if plain in _FLOATS:
        _check_float(plain, value)
    if kind == TIMESTAMP and not 0 < value < rules.max_time_ms:
        hint = f"; if these are microseconds, send {value // 1000}" if value > 0 else ""
        problem = f"must be milliseconds since 1970 and before the year 10000, got {shown(value)}{hint}"
        raise InvalidEvent(problem, rule=TIME)
    if kind == "string":
        size = len(_utf8(value))
        if name.endswith("_id"):
            _check_id(value, size, 0 if optional else 1, rules.max_id_bytes)


def _check_float(plain: str, value: float) -> None:
    try:
        finite = math.isfinite(value)
        _FLOATS[plain].pack(float(value))
    except OverflowError as error:
        raise InvalidEvent(f"must fit {plain}, got {shown(value)}", rule=RANGE) from error
    if not finite:
        raise InvalidEvent(f"must be a finite number, got {shown(value)}: a sum would keep it for ever", rule=FINITE)


def _check_id(value: str, size: int, least: int, most: int) -> None:
    if not least <= size <= most:
        raise InvalidEvent(f"must have {least} to {most} bytes, got {size}", rule=ID)
    if "\0" in value:
        raise InvalidEvent(f"must have no zero byte, got {shown(value)}", rule=ID)


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidEvent(f"must be Unicode text, got {shown(value)}", rule=TEXT) from error
