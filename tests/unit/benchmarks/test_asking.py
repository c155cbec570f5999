"""What the drill knows of auctions from the lines that another process writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness.asking import Asking
from benchmarks.harness.auctions import Plan


class _Written:
    """An `Asking` whose process is the test."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "asked"
        self.file.touch()
        plan = Plan("127.0.0.1:1", ["u"], ["a"], {}, 10.0, 1, 1.0, 0, str(self.file))
        self.asking = Asking(plan)
        self.asking._file = self.file.open()

    def write(self, text: str) -> None:
        with self.file.open("a") as out:
            out.write(text)

    def answer(self, *numbers: int) -> None:
        for n in numbers:
            self.write(json.dumps([n, n / 10, 0.0, 5.0, 1, True, "m", ""]) + "\n")


@pytest.fixture
def written(tmp_path: Path) -> Iterator[_Written]:
    made = _Written(tmp_path)
    yield made
    assert made.asking._file is not None
    made.asking._file.close()


def test_a_line_that_is_half_written_is_read_when_it_is_whole(written: _Written) -> None:
    line = json.dumps([0, 0.0, 0.0, 5.0, 1, True, "m", ""]) + "\n"
    written.write(line[:9])
    assert written.asking.read() == []
    written.write(line[9:])
    assert [a.number for a in written.asking.read()] == [0]


def test_a_time_is_known_only_once_all_its_auctions_have_ended(written: _Written) -> None:
    written.answer(0, 1, 3, 5)
    assert written.asking.between(0.1, 0.5) is None, "2 and 4 are still under way"
    written.answer(4, 2)
    assert [a.number for a in written.asking.between(0.1, 0.5) or []] == [1, 2, 3, 4]
    assert written.asking.between(0.1, 0.55) is None, "nobody knows how many come before that"
