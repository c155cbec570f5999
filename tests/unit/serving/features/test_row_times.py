"""A column of row times is read as protobuf reads each of them, whatever bytes stand there."""

from __future__ import annotations

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.features.row_times import FEW, times_ms
from serving.features.values import ValueDecoder

TIMES = st.builds(
    lambda s, n: bytes(Timestamp(seconds=s, nanos=n).SerializeToString()),
    st.one_of(st.integers(0, 253_402_300_799), st.integers(-(1 << 40), 1 << 40)),
    st.one_of(st.just(0), st.integers(0, 999_999_999), st.integers(0, 999).map(lambda ms: ms * 1_000_000)),
)
STORED = st.one_of(TIMES, st.none(), st.just(b""), st.binary(max_size=24), st.binary(max_size=10).map(b"\x08".__add__))


@settings(max_examples=300, deadline=None)
@given(st.lists(STORED, min_size=FEW, max_size=40))
def test_equals_protobuf(stored: list[bytes | None]) -> None:
    read = ValueDecoder().time_ms
    assert times_ms(stored, read.__getitem__).tolist() == [read[data] for data in stored]


def test_times_that_never_come_back_ask_no_memo() -> None:
    moments = [1_700_000_000_000 + 997 * i for i in range(500)]
    stored = [bytes(Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000).SerializeToString()) for ms in moments]
    decoder = ValueDecoder()
    assert np.array_equal(times_ms(stored, decoder.time_ms.__getitem__), moments)
    assert len(decoder.time_ms) == 0
