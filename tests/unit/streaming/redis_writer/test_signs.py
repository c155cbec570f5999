from __future__ import annotations

from pathlib import Path

from adfeast.clock import ManualClock
from adfeast.settings import Settings
from streaming.redis_writer.writer import TURN_MS, RedisWriter, last_turn
from tests.unit.adfeast.feast_ext.small import definitions


class Assigned:
    """A consumer that says which partitions it was given."""

    def __init__(self, *partitions: int) -> None:
        self.partitions = list(partitions)

    def assignment(self) -> list[int]:
        return self.partitions


def test_only_a_writer_that_was_given_partitions_gives_signs_of_life(tmp_path: Path) -> None:
    clock = ManualClock(10_000)
    file = last_turn(tmp_path)
    file.parent.mkdir(parents=True)
    writer = RedisWriter(Settings(local=tmp_path), definitions, clock)
    writer._sign(Assigned())
    assert not file.exists()
    writer._sign(Assigned(0))
    assert file.exists()
    file.unlink()
    writer._sign(Assigned(0))
    assert not file.exists(), "one a second is enough"
    clock.advance(TURN_MS)
    writer._sign(Assigned(0))
    assert file.exists()
