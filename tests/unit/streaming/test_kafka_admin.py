"""Kafka that is not there: a clear error, and no thread that goes on trying."""

from __future__ import annotations

import socket
import threading

import pytest

from streaming.errors import StreamingError
from streaming.kafka_admin import admin


def test_an_absent_kafka_is_named_and_leaves_no_thread() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        before = threading.active_count()
        with pytest.raises(StreamingError, match=address), admin(address, patience_s=0.2):
            pytest.fail("it connected")
        assert threading.active_count() == before
