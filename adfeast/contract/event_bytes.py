"""Strict reader of Avro's bytes, value by value, the twin of the reader inside Flink (streaming/java, EventDecoder).

fastavro writes events; what it reads it forgives much: a boolean of 7, a number of 20 bytes. Two readers that forgive
differently would not agree on what an event is.
"""

from __future__ import annotations

import struct
from typing import Any

from adfeast.contract.event_rules import RANGE, RECORD, TEXT
from adfeast.errors import InvalidEvent

_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_VARINT_BYTES = 10


class RecordReader:
    """The values of one record, in the order in which they were written."""

    def __init__(self, body: memoryview) -> None:
        self._body, self._at = body, 0

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self._body) - self._at

    def value(self, kind: str) -> Any:
        """The next value of a type in the short form of a plan.

        Raises:
            InvalidEvent: the bytes are not one; `rule` says which rule they break.
        """
        match kind:
            case "string":
                return self._text()
            case "int":
                number = self._varint()
                if not -(1 << 31) <= number < 1 << 31:
                    raise InvalidEvent(f"must fit int, got {number}", rule=RANGE)
                return number
            case "float":
                return _FLOAT.unpack(self._take(4))[0]
            case "double":
                return _DOUBLE.unpack(self._take(8))[0]
            case "boolean":
                flag = self._take(1)[0]
                if flag > 1:
                    raise InvalidEvent(f"is no boolean but a byte of {flag}", rule=RECORD)
                return flag == 1
            case "bytes":
                return bytes(self._take(self._varint()))
            case "array<string>":
                return self._texts()
            case _:
                return self._varint()

    def _take(self, size: int) -> memoryview:
        if not 0 <= size <= self.left:
            raise InvalidEvent(f"wants {size} bytes where {self.left} are left", rule=RECORD)
        self._at += size
        return self._body[self._at - size : self._at]

    def _varint(self) -> int:
        raw = 0
        for n in range(_VARINT_BYTES):
            byte = self._take(1)[0]
            if n == _VARINT_BYTES - 1 and byte > 1:
                break
            raw |= (byte & 0x7F) << 7 * n
            if byte < 0x80:
                return (raw >> 1) ^ -(raw & 1)
        raise InvalidEvent("has a number of more than 64 bits", rule=RECORD)

    def _text(self) -> str:
        try:
            return bytes(self._take(self._varint())).decode()
        except UnicodeDecodeError as error:
            raise InvalidEvent("is not UTF-8", rule=TEXT) from error

    def _texts(self) -> list[str]:
        texts: list[str] = []
        while count := self._varint():
            if count < 0:  # Avro: a negative count is followed by the block's size in bytes
                count = -count
                self._varint()
            if count > self.left:  # every text has a byte at least
                raise InvalidEvent(f"announces {count} texts in {self.left} bytes", rule=RECORD)
            texts += (self._text() for _ in range(count))
        return texts
