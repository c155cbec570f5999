"""From when on a row counts in a point-in-time pull."""

from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa

from adfeast.feast_ext.offline import TIME, as_served

NOON = datetime(2019, 11, 28, 12, tzinfo=UTC)
TICK, HOUR, DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)


def counted(published: datetime | None, lifetime: timedelta | None = DAY) -> tuple[datetime, datetime]:
    """(event time, publication) of a row of noon, as the join compares them with the time that is asked for."""
    rows = pa.table({"event": pa.array([NOON], TIME), "made": pa.array([published], TIME)})
    [row] = as_served(ibis.memtable(rows), "event", "made", lifetime).to_pyarrow().to_pylist()
    return row["event"], row["made"]


def test_an_event_does_not_count_at_its_own_moment_but_right_after() -> None:
    rows = pa.table({"event": pa.array([NOON], TIME)})
    found = as_served(ibis.memtable(rows), "event", None, DAY).to_pyarrow().to_pylist()
    assert found == [{"event": NOON + TICK}]


def test_a_batch_row_counts_from_when_it_was_published() -> None:
    assert counted(NOON + 3 * HOUR) == (NOON + TICK, NOON + 3 * HOUR)
    assert counted(NOON + 300 * DAY, None) == (NOON + TICK, NOON + 300 * DAY)


def test_a_row_made_afterwards_stands_for_one_that_was_online_in_time() -> None:
    for published in (NOON + DAY + TICK, NOON - HOUR, None):
        assert counted(published) == (NOON + TICK, NOON)
