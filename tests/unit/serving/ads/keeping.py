"""Everything that a keeper of tables talks to, in memory: topics, both stores, ledger and definitions."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from adfeast.clock import ManualClock, to_datetime
from adfeast.contract.definitions import Definitions
from adfeast.contract.rows import Layout, record_layouts, watermark_key
from adfeast.contract.signature import AD
from adfeast.contract.topics import features_topic
from adfeast.feast_ext.online_layout import dynamodb_id, dynamodb_table, redis_field, redis_key, redis_time_field
from adfeast.settings import Settings
from serving.ads.filler import LOOK_MS, AdKeeper
from serving.ads.kafka import Offsets
from serving.ads.layout import plan_of_ads
from serving.ads.published import Published
from serving.ads.served import CurrentTable, PlanTable
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from serving.features.plan import Plan
from serving.features.reader import Tiers

NOW = 1_574_600_000_000


class Sent:
    """A message of a topic with one partition."""

    def __init__(self, topic: str, key: bytes, value: bytes, offset: int) -> None:
        self._topic, self._key, self._value, self._offset = topic, key, value, offset

    def topic(self) -> str:
        return self._topic

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def offset(self) -> int:
        return self._offset


class Topics:
    """`Source` over lists.

    Attributes:
        logs: topic to its messages; `first` the offset of the first that is still held.
        committed: what the Redis writer has.
        at_once: messages that one poll gives.
    """

    def __init__(self, *topics: str) -> None:
        self.logs: dict[str, list[Sent]] = {topic: [] for topic in topics}
        self.first: dict[str, int] = dict.fromkeys(topics, 0)
        self.committed: Offsets = {}
        self.at_once = 10_000
        self._at: Offsets = {}

    def send(self, topic: str, key: bytes, value: bytes) -> None:
        log = self.logs[topic]
        log.append(Sent(topic, key, value, len(log)))

    @property
    def position(self) -> Offsets:
        return dict(self._at)

    def poll(self) -> list[Sent]:
        found = [m for (topic, _), at in self._at.items() for m in self.logs[topic][at:]][: self.at_once]
        for message in found:
            self._at[message.topic(), 0] = message.offset() + 1
        return found

    def bounds(self, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
        return {(t, 0): (self.first[t], len(self.logs[t])) for t in topics if t in self.logs}

    def written(self, places: Sequence[tuple[str, int]]) -> Offsets:
        return {place: at for place, at in self.committed.items() if place in places}

    def follow(self, offsets: Offsets) -> None:
        self._at = dict(offsets)

    def close(self) -> None:
        """Nothing to close."""


class Ledger:
    """`Publications` as a test says."""

    def __init__(self) -> None:
        self.published: set[tuple[object, ...]] = set()
        self.in_lake: list[str] = []

    def look(self, _: Definitions) -> Published:
        return frozenset(self.published)

    def ads(self, _: Definitions) -> Iterator[list[str]]:
        yield list(self.in_lake)


class World:
    """A keeper, and what it keeps up with; the stream view is a_fast, the batch view a_old."""

    def __init__(self, definitions: Definitions, folder: Path) -> None:
        streams = {n: replace(v, topic="events") for n, v in definitions.views.items() if v.kind == "stream"}
        self.definitions = replace(definitions, views={**definitions.views, **streams})
        self.folder = folder / "ads"
        self.settings = Settings(
            project=definitions.project,
            registry_url=f"sqlite:///{folder}/registry.db",
            ad_table=self.folder,
            ad_table_rows=50,
        )
        record_layouts(self.settings, streams.values())
        self.clock, self.redis, self.dynamodb = ManualClock(NOW), MemoryRedis(), MemoryDynamoDB()
        self.tiers = Tiers(self.redis, self.dynamodb, self.settings)
        self.topic = features_topic(definitions.project, "a_fast")
        self.topics, self.ledger = Topics(self.topic), Ledger()
        self.folder.mkdir()
        self.start()

    def start(self) -> None:
        """A new keeper, as after a death of the former one."""
        publications: object = self.ledger
        self.keeper = AdKeeper(
            self.settings,
            self.folder,
            self.clock,
            self.tiers,
            self.topics,
            publications,
            self,  # type: ignore[arg-type]
        )

    def digest(self) -> str:
        return repr(self.definitions)

    def load(self) -> Definitions:
        return self.definitions

    @property
    def layout(self) -> Layout:
        return Layout.of(self.definitions.views["a_fast"])

    def send(self, ad: str, ms: int, *values: float, layout: Layout | None = None) -> None:
        """A row of the stream view."""
        self.topics.send(self.topic, ad.encode(), (layout or self.layout).encode(ms, values))

    def mark(self, ms: int) -> None:
        """A watermark, of one way."""
        self.topics.send(self.topic, watermark_key(0, 1), self.layout.encode(ms, None))

    def in_redis(self, ad: str, ms: int, **values: float) -> None:
        at = Timestamp()
        at.FromMilliseconds(ms)
        key = redis_key(f"{AD}_name", ad, self.definitions.project)
        self.redis.hashes.setdefault(key, {})[redis_time_field("a_fast")] = at.SerializeToString()
        for name, value in values.items():
            stored = Value(int64_val=int(value)) if name == "a_count" else Value(double_val=value)
            self.redis.hashes[key][redis_field("a_fast", name)] = stored.SerializeToString()

    def in_dynamodb(self, ad: str, ms: int, score: float) -> None:
        value = base64.b64encode(Value(float_val=score).SerializeToString()).decode()
        table = self.dynamodb.tables.setdefault(dynamodb_table(self.definitions.project, "a_old"), {})
        table[dynamodb_id(f"{AD}_name", ad)] = {
            "event_ts": {"S": to_datetime(ms).isoformat()},
            "values": {"M": {"a_score": {"B": value}}},
        }

    async def turns(self, n: int = 3) -> None:
        """Of the keeper, with a look at definitions and ledger in each."""
        for _ in range(n):
            await self.keeper.turn()
            self.clock.advance(LOOK_MS)

    def run(self, n: int = 3) -> None:
        asyncio.run(self.turns(n))

    def table(self) -> PlanTable | None:
        """What a server reads."""
        current = CurrentTable(self.folder, self.settings.project)
        asyncio.run(current.look())
        return PlanTable(self.plan, current.table, 1.0) if current.table else None

    @property
    def plan(self) -> Plan:
        return plan_of_ads(self.definitions)

    def read(self, *ads: str, at_ms: int = NOW) -> dict[str, list[float | None]]:
        """For each feature of interest its value for each ad; None where none is stored or the table lacks the ad."""
        table = self.table()
        assert table is not None
        taken = table.take(ads, at_ms, at_ms)
        found: dict[str, list[float | None]] = {}
        for tier, rows in taken.rows.items():
            for k, slot in enumerate(self.plan.blocks[AD, tier].slots):
                if slot.feature.role == "dense":
                    values = rows.arrays["dense"][:, slot.offset].tolist()
                    gone = [rows.absent[i, k] or i in taken.lacking for i in range(len(ads))]
                    found[slot.feature.name] = [None if g else v for v, g in zip(values, gone, strict=True)]
        return found
