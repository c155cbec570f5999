"""Marks tell how far the archive is, and do not pile up."""

import pytest

from adfeast.settings import Settings
from adfeast.watermarks import KEEP_MARKS_MS, Mark, archived_until, marks_below, publish, record_marks


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(ledger_url=f"sqlite:///{tmp_path}/ledger.db")


def test_the_newest_mark_below_an_offset_counts(settings):
    record_marks(settings, [Mark("t", 0, 3, 1_000), Mark("t", 0, 7, 900), Mark("t", 1, 2, 500)], 1)
    assert marks_below(settings, {("t", 0): 8, ("t", 1): 2}) == {("t", 0): 1_000}
    assert marks_below(settings, {("t", 0): 3, ("t", 1): 3}) == {("t", 1): 500}


def test_old_marks_are_forgotten_but_for_the_newest_of_a_partition(settings):
    record_marks(settings, [Mark("t", 0, 1, 10), Mark("t", 0, 2, 20), Mark("quiet", 0, 1, 10)], 1)
    record_marks(settings, [Mark("t", 0, 3, 30)], 2 + KEEP_MARKS_MS)
    assert marks_below(settings, {("t", 0): 3, ("quiet", 0): 9}) == {("quiet", 0): 10}
    assert marks_below(settings, {("t", 0): 4}) == {("t", 0): 30}


def test_a_log_that_began_anew_forgets_the_marks_of_the_old_one(settings):
    record_marks(settings, [Mark("t", 0, 5, 50), Mark("t", 0, 9, 90)], 1)
    record_marks(settings, [Mark("t", 0, 5, 10)], 2)
    assert marks_below(settings, {("t", 0): 100}) == {("t", 0): 10}


def test_a_watermark_never_goes_back(settings):
    publish(settings, {"t": 5}, 1)
    publish(settings, {"t": 4, "u": 1}, 2)
    assert archived_until(settings) == {"t": 5, "u": 1}
