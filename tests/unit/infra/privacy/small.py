"""A deployment that a user leaves: a lake of real Parquet files, tiers in memory, streams that a test moves on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from adfeast.clock import ManualClock, to_ms
from adfeast.contract.definitions import Aggregation, Definitions, Table, View
from adfeast.feast_ext.online_layout import dynamodb_id, redis_key
from adfeast.settings import Settings
from infra.privacy.forget import Deployment
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from tests.contract.rows_in_memory import HashesInMemory, TablesInMemory

KEY = "member"  # not what feature_repo/ calls it: the definitions say which column holds a user
LEAVES, STAYS = "user who leaves", "user who stays"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECT = "small"


@dataclass
class Streams:
    """How far they are: as far as the test says, all alike."""

    ms: int | None = None
    asked: list[str] = field(default_factory=list)

    def archived(self, topic: str) -> int | None:
        self.asked.append(topic)
        return self.ms

    def served(self, view: str) -> int | None:
        self.asked.append(view)
        return self.ms


@dataclass
class Small:
    """See the module."""

    deployment: Deployment
    clock: ManualClock
    streams: Streams
    lake: Path
    redis: MemoryRedis
    dynamodb: MemoryDynamoDB

    def users(self) -> dict[str, list[str]]:
        """Every file of the lake below its folder with the users it holds; unfinished ones too."""
        files = sorted(f for f in self.lake.rglob("*") if f.is_file())
        return {str(f.relative_to(self.lake)): users_of(f) for f in files}


def write(file: Path, table: pa.Table, **options: Any) -> Path:
    """Writes a file with its folders."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, **options)
    return file


def rows(*users: str, column: str = KEY) -> pa.Table:
    """One row a user."""
    return pa.table({column: list(users), "n": list(range(len(users)))})


def users_of(file: Path) -> list[str]:
    """In the order of the rows, by whichever column names them; none where none does."""
    table = pq.read_table(file, partitioning=None)
    return [user for c in (KEY, "user_id") if c in table.column_names for user in table.column(c).to_pylist()]


def make(folder: Path, *, lake: str | None = None) -> Small:
    """Everything holds both users once, where nothing else is said."""
    settings = Settings(
        project=PROJECT,
        local=folder,
        lake=lake or str(folder / "lake"),
        ledger_url=f"sqlite:///{folder}/ledger.db",
        forget_key="a key of a test that is long",
    )
    view = View("clicked", "stream", "user", KEY, "redis", 60, (), "", topic="clicks")
    view = View(**{**view.__dict__, "aggregations": (Aggregation("n", "count", "event_id", 3600, 60),)})
    definitions = Definitions(
        PROJECT,
        {"user": KEY, "ad": "ad_id"},
        {"clicked": view},
        {"clicks": {}},
        {},
        {},
        {"users": Table("users", f"{settings.lake}/tables/users")},
    )
    keys = {user: redis_key(KEY, user, PROJECT) for user in (LEAVES, STAYS)}
    tiers = MemoryRedis({key: {b"f": b"1"} for key in keys.values()}), MemoryDynamoDB()
    tiers[1].tables[f"{PROJECT}.profile"] = {dynamodb_id(KEY, u): {} for u in keys}
    streams, clock = Streams(), ManualClock(to_ms(NOW))
    stores = TablesInMemory(tiers[1], PROJECT), HashesInMemory(tiers[0], PROJECT)
    small = Small(Deployment(settings, definitions, stores, streams), clock, streams, folder / "lake", *tiers)
    fill(small.lake)
    return small


def fill(lake: Path) -> None:
    """What jobs write: events by date, snapshots with their own name for a user, rows of views, a training set."""
    write(lake / "events/clicks/date=2026-03-01/part-1.parquet", rows(LEAVES, STAYS, LEAVES))
    write(lake / "events/clicks/date=2026-03-01/part-2.parquet", rows(STAYS))
    write(lake / "events/snapshots/date=2026-03-01/part-1.parquet", rows(STAYS, LEAVES, column="user_id"))
    write(lake / "features/clicked/date=2026-03-01/part-1.parquet", rows(LEAVES))
    write(lake / "batch/view_of_old/as_of=20260301T000000/part-1.parquet", rows(LEAVES, STAYS))
    write(lake / "tables/users/delivery.parquet", rows(LEAVES, STAYS))
    write(lake / "tables/ads/delivery.parquet", rows("ad 1", column="ad_id"))
    write(lake / "training_sets/n/part-1.parquet", rows(STAYS, LEAVES))
