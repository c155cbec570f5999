from __future__ import annotations

import pytest

from adfeast.contract.events import MAX_TIME_MS
from adfeast.errors import InvalidEvent
from adfeast.settings import Settings
from streaming.errors import StreamingError
from streaming.marks import advance, decode_mark, encode_mark


def test_a_mark_is_told_from_any_other_message() -> None:
    assert decode_mark(encode_mark(1_574_500_000_123)) == 1_574_500_000_123
    assert decode_mark(b"") is None
    assert decode_mark(b"\x02" + bytes(8)) is None
    for no_time in (0, -1, MAX_TIME_MS):
        with pytest.raises(InvalidEvent, match="time mark"):
            decode_mark(encode_mark(no_time))


def test_time_is_moved_to_no_moment_that_has_not_passed() -> None:
    with pytest.raises(StreamingError, match=r"2100-01-01T00:00:00.*: give a time that has passed"):
        advance(Settings(), {"watermark_delay_ms": 5_000}, 4_102_444_800_000)
