"""Counts what the archive holds, so that a batch step starts only when its input is complete."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds

from adfeast.contract.events import CLICKS, EVENT_ID, IMPRESSIONS
from adfeast.lake import filesystem, parquet_files
from adfeast.settings import Settings
from demo.stage import wait_until
from streaming import progress

PATIENCE_S = 300.0  # some ten times what it takes on two idle cores


def archived(settings: Settings, topic: str) -> int:
    """Rows of `topic` in finished files of the archive."""
    rows = _rows(settings, topic)
    return int(rows.count_rows()) if rows is not None else 0


def wait_archived(settings: Settings, acknowledged: dict[str, int], deadline_s: float = PATIENCE_S) -> None:
    """Waits until every message in Kafka is archived, and until the archive holds all that was acknowledged.

    Raises:
        NotCaughtUp, StepFailed: it does not within the deadline; the message says what is missing.
    """
    progress.wait_archived(settings, [topic for topic, n in acknowledged.items() if n], deadline_s)

    def missing() -> str | None:
        counts = {topic: archived(settings, topic) for topic in acknowledged}
        short = [f"{counts[t]} of {n} {t}" for t, n in acknowledged.items() if counts[t] < n]
        return f"the archive in {settings.lake_path('events')} holds {', '.join(short)}" if short else None

    wait_until(missing, deadline_s)


def click_rate(settings: Settings) -> float:
    """Clicks by impressions of the whole archive, each event counted once."""

    def distinct(topic: str) -> int:
        rows = _rows(settings, topic)
        return int(pc.count_distinct(rows.to_table([EVENT_ID])[EVENT_ID]).as_py()) if rows is not None else 0

    return distinct(CLICKS) / distinct(IMPRESSIONS)


def _rows(settings: Settings, topic: str) -> Any | None:
    """The topic's finished files as one dataset; None while there are none."""
    fs, folder = filesystem(settings, settings.lake_path("events", topic))
    files = parquet_files(fs, folder)
    return ds.dataset(files, filesystem=fs) if files else None
