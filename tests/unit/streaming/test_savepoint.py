"""Offsets are found in the state of the sources, whatever stands around them."""

from __future__ import annotations

import struct
from pathlib import Path

from adfeast.settings import Settings
from streaming.savepoint import source_positions

NO_END = -(1 << 63)


def split(topic: str, partition: int, offset: int, end: int = NO_END) -> bytes:
    return struct.pack(">H", len(topic)) + topic.encode() + struct.pack(">iqq", partition, offset, end)


def test_the_position_counts_and_not_the_beginning(tmp_path: Path) -> None:
    assigned = split("clicks", 0, -3) + split("clicks", 1, -3) + split("late.clicks", 0, 9)
    (tmp_path / "_metadata").write_bytes(b"head clicks" + assigned + b"\x00\x06clicks")
    (tmp_path / "state-file").write_bytes(b"x" + split("clicks", 0, 25) + split("clicks", 1, 7, end=8))
    assert source_positions(Settings(), f"file:{tmp_path}", ["clicks", "other"]) == {("clicks", 0): 25}
    assert source_positions(Settings(), f"file://{tmp_path}", ["late.clicks"]) == {("late.clicks", 0): 9}
