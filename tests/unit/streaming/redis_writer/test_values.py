"""Values as Feast's own messages have them, byte for byte."""

from __future__ import annotations

import math

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from streaming.redis_writer.values import SMALL, bulk, doubles, floats, ints, times


@pytest.mark.parametrize("numbers", [[0, 1, 127, 128, SMALL - 1], [SMALL, 3, 1 << 40, -3, (1 << 63) - 1], []])
def test_integers(numbers: list[int]) -> None:
    made = [bulk(Value(int64_val=n).SerializeToString()) for n in numbers]
    assert ints(np.array(numbers, np.int64)) == made


def test_doubles_and_floats() -> None:
    numbers = [0.0, -0.0, 1.5, 1e300, math.inf, 1 / 3]
    column = np.array(numbers)
    assert doubles(column) == [bulk(Value(double_val=n).SerializeToString()) for n in numbers]
    with np.errstate(over="ignore"):
        single = np.float32(numbers)
    assert floats(column) == [bulk(Value(float_val=n).SerializeToString()) for n in single]
    (nan,) = doubles(np.array([math.nan]))
    assert math.isnan(Value.FromString(nan[4:-2]).double_val)


def test_times() -> None:
    moments = [1, 999, 1000, 1_574_500_000_000, 1_574_500_000_123, 253_402_300_799_999]
    made = [Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000).SerializeToString() for ms in moments]
    assert times(moments) == [bulk(m) for m in made]
