from __future__ import annotations

import pytest

from adfeast.contract.events import MAX_TIME_MS
from adfeast.errors import InvalidEvent
from streaming.marks import decode_mark, encode_mark


def test_a_mark_is_told_from_any_other_message() -> None:
    assert decode_mark(encode_mark(1_574_500_000_123)) == 1_574_500_000_123
    assert decode_mark(b"") is None
    assert decode_mark(b"\x02" + bytes(8)) is None
    for no_time in (0, -1, MAX_TIME_MS):
        with pytest.raises(InvalidEvent, match="time mark"):
            decode_mark(encode_mark(no_time))
