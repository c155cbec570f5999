"""A small lake made from the definitions: tables, events and snapshots with seeded values, and what should come of
them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adfeast.clock import to_ms
from adfeast.contract import snapshots
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_ID, EVENT_TIME, IMPRESSION_ID, IMPRESSIONS, REQUEST_ID
from adfeast.contract.signature import DTYPES, TENSORS
from adfeast.contract.snapshots import Snapshot, SnapshotCodec, Tensors
from adfeast.lake import filesystem
from adfeast.settings import Settings
from demo.traffic.open_bandit import COLUMNS

DAY = datetime(2019, 11, 28, tzinfo=UTC)
WINDOW = timedelta(minutes=30)
CANDIDATES = 5
_ARROW = {"string": pa.string(), "int": pa.int32(), "long": pa.int64(), "bytes": pa.binary()}
_TIME = pa.timestamp("ms", "UTC")


@dataclass
class SmallLake:
    """What was written: impressions and clicks as rows, snapshots by request."""

    impressions: list[dict[str, Any]] = field(default_factory=list)
    clicks: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)


def write_lake(settings: Settings, definitions: Definitions, requests: int = 120, seed: int = 7) -> SmallLake:
    """One day of auctions with one impression each; every fourth is clicked, and each known trouble occurs."""
    rng, made = np.random.default_rng(seed), SmallLake()
    codec = SnapshotCodec(definitions.signature(settings.feature_service))
    user, ad = definitions.entities["user"], definitions.entities["ad"]
    users, ads = [f"user {i}" for i in range(20)], [f"ad {i}" for i in range(12)]
    widths = {f.width for v in definitions.views.values() for f in v.features if f.role == "embedding"}
    for name, keys in (("users", users), ("ads", ads)):
        table = {c: keys if c in (user, ad) else [str(n) for n in rng.integers(0, 9, len(keys))] for c in COLUMNS[name]}
        if name == "ads":
            table["embedding"] = list(rng.standard_normal((len(keys), widths.pop()), np.float32))
        stamp = pa.array([DAY - timedelta(days=3)] * len(keys), _TIME)
        _put(settings, f"tables/{name}/part.parquet", pa.table(table | {EVENT_TIME: stamp, "created_timestamp": stamp}))
    for n in range(requests):
        moment = DAY + timedelta(seconds=int(rng.integers(0, 86_400)), milliseconds=n)
        common = {REQUEST_ID: f"r{n}", user: str(rng.choice(users))}
        shown = [str(a) for a in rng.permutation(ads)[:CANDIDATES]]
        made.snapshots[f"r{n}"] = _snapshot(codec, common, shown, moment, rng, user)
        impression = common | {EVENT_ID: f"i{n}", ad: shown[n % CANDIDATES], EVENT_TIME: moment}
        made.impressions.append(impression)
        if n % 4 == 0:
            click = common | {ad: impression[ad], IMPRESSION_ID: f"i{n}", EVENT_ID: f"c{n}"}
            delay = WINDOW if n % 8 else WINDOW + timedelta(milliseconds=1)  # the last moment, and one too late
            made.clicks.append(click | {EVENT_TIME: moment + (timedelta(seconds=9) if n % 3 else delay)})
    made.impressions.append(made.impressions[3])  # sent twice
    made.clicks += [made.clicks[1], made.clicks[2] | {IMPRESSION_ID: "nobody's", EVENT_ID: "lost"}]
    del made.snapshots["r5"]  # served, but its snapshot was lost
    for topic, rows in ((IMPRESSIONS, made.impressions), (CLICKS, made.clicks)):
        _archive(settings, topic, definitions.events[topic], rows)
    _archive(settings, snapshots.TOPIC, snapshots.SCHEMA, [_record(codec, s) for s in made.snapshots.values()])
    return made


def _snapshot(
    codec: SnapshotCodec, common: dict[str, str], ads: list[str], moment: datetime, rng: np.random.Generator, user: str
) -> Snapshot:
    signature, tensors = codec.signature, {}
    for role, name in TENSORS.items():
        shape = (len(ads), signature.width(role))
        whole = DTYPES[role] == "int64"
        tensors[name] = rng.integers(-1, 1 << 60, shape) if whole else rng.standard_normal(shape, np.float32)
        shared = signature.columns(shared=True, role=role)
        tensors[name][:, shared] = tensors[name][0, shared]
    return Snapshot(
        request_id=common[REQUEST_ID],
        event_timestamp=to_ms(moment),
        user_id=common[user],
        model_version="ctr-000001",
        feature_service=signature.service,
        signature_hash=signature.hash,
        ad_ids=ads,
        scores=rng.random(len(ads), np.float32),
        tensors=Tensors(**tensors),
        ad_status=np.zeros((len(ads), 0), np.uint8),
        ad_times=np.zeros((len(ads), 0), np.int64),
    )


def _record(codec: SnapshotCodec, snapshot: Snapshot) -> dict[str, Any]:
    record: Any = fastavro.schemaless_reader(io.BytesIO(codec.encode(snapshot)), snapshots.SCHEMA, None)
    return record  # type: ignore[no-any-return]


def _archive(settings: Settings, topic: str, schema: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    fields = [(f["name"], _arrow(f["type"])) for f in schema["fields"]]
    days: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        fill = {n: (1 if pa.types.is_integer(t) else "x") for n, t in fields if t in (pa.int32(), pa.string())}
        days.setdefault(f"{row[EVENT_TIME]:%Y-%m-%d}", []).append(fill | row)
    for day, own in days.items():
        _put(settings, f"events/{topic}/date={day}/part-0.parquet", pa.Table.from_pylist(own, pa.schema(fields)))


def _arrow(kind: Any) -> pa.DataType:
    if isinstance(kind, str):
        return _ARROW[kind]
    return pa.list_(_arrow(kind["items"])) if kind["type"] == "array" else _TIME


def _put(settings: Settings, name: str, table: pa.Table) -> None:
    fs, path = filesystem(settings, settings.lake_path(name))
    fs.create_dir(path.rsplit("/", 1)[0], recursive=True)
    pq.write_table(table, path, filesystem=fs, coerce_timestamps="ms")
