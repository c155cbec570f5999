"""The archive is as far as the slowest partition, less the time by which events may come late."""

from __future__ import annotations

from pathlib import Path

from adfeast.settings import Settings
from adfeast.watermarks import Mark, record_marks
from streaming.archive_progress import watermarks
from streaming.plan import make_plan
from tests.unit.streaming.jobs.test_sql import definitions


def test_the_slowest_partition_decides_and_one_without_a_mark_says_nothing(tmp_path: Path) -> None:
    settings = Settings(registry_url=f"sqlite:///{tmp_path}/r.db", ledger_url=f"sqlite:///{tmp_path}/l.db")
    plan = make_plan(definitions(), settings, watermark_delay_ms=5_000)
    record_marks(settings, [Mark("bids", 0, 10, 60_000), Mark("bids", 0, 20, 90_000), Mark("bids", 1, 4, 70_000)], 1)
    archived = {("bids", 0): 21, ("bids", 1): 5, ("snapshots", 0): 0, ("snapshots", 1): 0}
    assert watermarks(settings, plan, archived) == {"bids": 65_000}
    assert watermarks(settings, plan, archived | {("bids", 0): 20}) == {"bids": 55_000}
    assert watermarks(settings, plan, archived | {("bids", 1): 4}) == {}
