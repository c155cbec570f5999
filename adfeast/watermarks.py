"""How far the archive is: for each topic the event time up to which everything lies in finished files of the lake.

The stream side publishes it, jobs that read the archive ask for it before they take an interval.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, String, Table, select

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


def archived_until(settings: Settings) -> dict[str, int]:
    """Topic to the event time in milliseconds up to which its archive is complete, as far as anybody said."""
    engine = create_tables(settings.ledger_url, _meta)
    query = select(WATERMARKS.c.topic, WATERMARKS.c.watermark_ms).where(WATERMARKS.c.project == settings.project)
    with engine.connect() as connection:
        return {topic: int(ms) for topic, ms in connection.execute(query)}
