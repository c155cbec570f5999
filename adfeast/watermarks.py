"""How far the archive is: for each topic the event time up to which everything lies in finished files of the lake.

The stream side publishes it, jobs that read the archive ask for it before they take an interval. It follows from time
marks (streaming/marks.py): what stands before a mark in a partition was sent before the mark's time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, func, select, tuple_

from adfeast.database import create_tables
from adfeast.settings import Settings

_meta = MetaData()
WATERMARKS = Table(
    "archive_watermarks",
    _meta,
    Column("project", String(80), primary_key=True),
    Column("topic", String(200), primary_key=True),
    Column("watermark_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
MARKS = Table(
    "archive_marks",
    _meta,
    Column("project", String(80), primary_key=True),
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("ms", BigInteger, nullable=False),
    Column("sent_ms", BigInteger, nullable=False),
)
# An archive further behind than this is told of by the first mark that it passes afterwards.
KEEP_MARKS_MS = 2 * 3_600_000


@dataclass(frozen=True)
class Mark:
    """A time mark as Kafka acknowledged it: what stands before `offset` in the partition was sent before `ms`."""

    topic: str
    partition: int
    offset: int
    ms: int


def publish(settings: Settings, watermarks: dict[str, int], now_ms: int) -> None:
    """Says that the archive of each topic is complete up to an event time in milliseconds; it never goes back."""
    engine = create_tables(settings.ledger_url, _meta)
    with engine.begin() as connection:
        for topic, ms in watermarks.items():
            key = (WATERMARKS.c.project == settings.project) & (WATERMARKS.c.topic == topic)
            known = connection.execute(select(WATERMARKS.c.watermark_ms).where(key)).scalar()
            values = {"watermark_ms": max(ms, known or 0), "updated_ms": now_ms}
            if known is None:
                connection.execute(WATERMARKS.insert().values(project=settings.project, topic=topic, **values))
            else:
                connection.execute(WATERMARKS.update().where(key).values(**values))


def published(settings: Settings) -> dict[str, tuple[int, int]]:
    """Topic to its watermark and to when it was published last, both in milliseconds."""
    engine = create_tables(settings.ledger_url, _meta)
    columns = (WATERMARKS.c.topic, WATERMARKS.c.watermark_ms, WATERMARKS.c.updated_ms)
    query = select(*columns).where(WATERMARKS.c.project == settings.project)
    with engine.connect() as connection:
        return {topic: (int(ms), int(updated)) for topic, ms, updated in connection.execute(query)}


def archived_until(settings: Settings) -> dict[str, int]:
    """Topic to the event time in milliseconds up to which its archive is complete, as far as anybody said."""
    engine = create_tables(settings.ledger_url, _meta)
    query = select(WATERMARKS.c.topic, WATERMARKS.c.watermark_ms).where(WATERMARKS.c.project == settings.project)
    with engine.connect() as connection:
        return {topic: int(ms) for topic, ms in connection.execute(query)}


def record_marks(settings: Settings, marks: Sequence[Mark], now_ms: int) -> None:
    """Keeps marks for `marks_below`, and forgets those older than two hours but the newest of each partition."""
    engine = create_tables(settings.ledger_url, _meta)
    rows = [
        {"topic": m.topic, "partition": m.partition, "offset": m.offset, "ms": m.ms, "sent_ms": now_ms} for m in marks
    ]
    mine = MARKS.c.project == settings.project
    newest = select(MARKS.c.topic, MARKS.c.partition, func.max(MARKS.c.offset)).where(mine)
    newest = newest.group_by(MARKS.c.topic, MARKS.c.partition)
    with engine.begin() as connection:
        for m in marks:
            # Kafka's log began anew: what stood behind is another log's.
            place = (MARKS.c.topic == m.topic) & (MARKS.c.partition == m.partition)
            connection.execute(MARKS.delete().where(mine, place, MARKS.c.offset >= m.offset))
        if rows:
            connection.execute(MARKS.insert(), [{"project": settings.project, **row} for row in rows])
        old = mine & (MARKS.c.sent_ms < now_ms - KEEP_MARKS_MS)
        kept = tuple_(MARKS.c.topic, MARKS.c.partition, MARKS.c.offset).in_(newest)
        connection.execute(MARKS.delete().where(old, ~kept))


def marks_below(settings: Settings, offsets: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """(topic, partition) to the largest time of its marks that lie below an offset; absent where none does."""
    engine = create_tables(settings.ledger_url, _meta)
    found: dict[tuple[str, int], int] = {}
    with engine.connect() as connection:
        for (topic, partition), offset in offsets.items():
            below = (MARKS.c.topic == topic) & (MARKS.c.partition == partition) & (MARKS.c.offset < offset)
            query = select(func.max(MARKS.c.ms)).where(MARKS.c.project == settings.project, below)
            ms = connection.execute(query).scalar()
            if ms is not None:
                found[topic, partition] = int(ms)
    return found


def newest_marks(settings: Settings, topic: str) -> dict[int, int]:
    """Partition to the largest time of its marks that are kept; absent where there is none."""
    engine = create_tables(settings.ledger_url, _meta)
    query = select(MARKS.c.partition, func.max(MARKS.c.ms)).where(
        MARKS.c.project == settings.project, MARKS.c.topic == topic
    )
    with engine.connect() as connection:
        return {int(partition): int(ms) for partition, ms in connection.execute(query.group_by(MARKS.c.partition))}
