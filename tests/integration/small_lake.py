"""A small lake made from the definitions: tables, events and snapshots with seeded values, and what should come of
them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adfeast.clock import to_ms
from adfeast.contract import snapshots
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_ID, EVENT_TIME, IMPRESSION_ID, IMPRESSIONS, REQUEST_ID, unframe
from adfeast.contract.history import CONTRACT, History
from adfeast.contract.signature import AD, DTYPES, TENSORS, Contract, Identity
from adfeast.contract.snapshots import Snapshot, SnapshotCodec
from adfeast.contract.tensors import Status, Tensors
from adfeast.lake import filesystem
from adfeast.settings import Settings
from adfeast.watermarks import publish
from demo.traffic.open_bandit import COLUMNS
from training.data.columns import missing_values

DAY = datetime(2019, 11, 28, tzinfo=UTC)
WINDOW = timedelta(minutes=30)
CANDIDATES = 5
_ARROW = {"string": pa.string(), "int": pa.int32(), "long": pa.int64(), "bytes": pa.binary()}
_TIME = pa.timestamp("ms", "UTC")


NOON = DAY + timedelta(hours=12)  # the definitions changed then
UNTIL = DAY + timedelta(days=1, minutes=90)  # how far the archive is


@dataclass
class SmallLake:
    """What was written.

    Attributes:
        snapshots: of the answers that were shown, by request.
        contracts: that of the morning, and today's.
        left_out: request to the count under which the label join says that it left it out.
    """

    impressions: list[dict[str, Any]] = field(default_factory=list)
    clicks: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    contracts: list[Contract] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def contract(self, snapshot: Snapshot) -> Contract:
        [found] = [c for c in self.contracts if c.hash == snapshot.contract_hash]
        return found


def write_lake(settings: Settings, definitions: Definitions, requests: int = 120, seed: int = 7) -> SmallLake:
    """One day of auctions with one impression each; every fourth is clicked, and each known trouble occurs."""
    rng, made = np.random.default_rng(seed), SmallLake()
    today = definitions.contract(settings.feature_service)
    made.contracts = [_before(today), today]
    for contract in made.contracts:
        History(settings).record(CONTRACT, contract.hash, contract.to_json())
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
        contract = made.contracts[moment >= NOON]
        made.snapshots[f"r{n}"] = _snapshot(contract, common | {"attempt_id": f"a{n}"}, shown, moment, rng, user)
        # Every other sender is of before attempts had ids, when files did not have the column yet.
        attempt = {"attempt_id": f"a{n}" if n % 2 == 0 else None, "position": n % 7}
        impression = common | attempt | {EVENT_ID: f"i{n}", ad: shown[n % CANDIDATES], EVENT_TIME: moment}
        made.impressions.append(impression)
        if n % 4 == 0:
            click = common | {ad: impression[ad], IMPRESSION_ID: f"i{n}", EVENT_ID: f"c{n}"}
            delay = WINDOW if n % 8 else WINDOW + timedelta(milliseconds=1)  # the last moment, and one too late
            made.clicks.append(click | {EVENT_TIME: moment + (timedelta(seconds=9) if n % 3 else delay)})
    made.impressions.append(made.impressions[3])  # sent twice
    made.clicks += [made.clicks[1], made.clicks[2] | {IMPRESSION_ID: "nobody's", EVENT_ID: "lost"}]
    for topic, rows in ((IMPRESSIONS, made.impressions), (CLICKS, made.clicks)):
        _archive(settings, topic, definitions.events[topic], rows)
    _archive(settings, snapshots.TOPIC, snapshots.SCHEMA, _served(made, rng))
    publish(settings, dict.fromkeys((IMPRESSIONS, CLICKS, snapshots.TOPIC), to_ms(UNTIL)), to_ms(UNTIL))
    return made


def _before(today: Contract) -> Contract:
    """The contract of the morning: the last ad feature was not logged, the first number was made in another way."""
    newest = [i for i in today.inputs if i.source == AD][-1]
    changed = today.role("dense")[0]
    before = (replace(i, made="another window") if i == changed else i for i in today.inputs if i != newest)
    return Contract(tuple(before))


def _served(made: SmallLake, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Archived snapshots: those that were shown, but for the troubles."""
    codecs = {c.hash: SnapshotCodec(c) for c in made.contracts}
    made.left_out["r5"] = "impressions_without_snapshot"  # served, but its snapshot was lost
    del made.snapshots["r5"]
    again = {}
    for request in ("r8", "r9"):  # Predict was repeated: with the id of the attempt, and without
        first = made.snapshots[request]
        tensors = replace(first.tensors, dense=first.tensors.dense + 1)
        again[request] = replace(first, attempt_id=f"{first.attempt_id} again", tensors=tensors)
    records = [_record(codecs[s.contract_hash], s) for s in (*made.snapshots.values(), *again.values())]
    records.append(_record(codecs[made.snapshots["r11"].contract_hash], made.snapshots["r11"]))  # archived twice
    made.left_out["r9"] = "impressions_ambiguous"
    made.left_out["r13"] = "impressions_of_unknown_contract"
    for record in records:
        if record[REQUEST_ID] == "r13":
            record["contract_hash"] = "nobody's"
    return [records[n] for n in rng.permutation(len(records))]


def _snapshot(
    contract: Contract,
    common: dict[str, str],
    ads: list[str],
    moment: datetime,
    rng: np.random.Generator,
    user: str,
) -> Snapshot:
    tensors: dict[str, Any] = {}
    status: dict[Identity, Any] = {}
    for role, name in TENSORS.items():
        blocks = [np.zeros((len(ads), 0), DTYPES[role])]
        for i in contract.role(role):
            shape = (len(ads), i.width)
            values = (
                rng.integers(-1, 1 << 60, shape) if DTYPES[role] == "int64" else rng.standard_normal(shape, np.float32)
            )
            status[i] = rng.choice(np.array(Status, np.uint8), len(ads), p=(0.8, 0.1, 0.05, 0.05, 0.0))
            if i.source != AD:
                values[:], status[i][:] = values[0], status[i][0]
            lacking = status[i] != Status.PRESENT
            values[lacking] = missing_values(i, int(lacking.sum()))
            blocks.append(values)
        tensors[name] = np.concatenate(blocks, axis=1)
    own = [status[i] for i in contract.inputs if i.source == AD]
    return Snapshot(
        request_id=common[REQUEST_ID],
        attempt_id=common["attempt_id"],
        event_timestamp=to_ms(moment),
        user_id=common[user],
        model_version="ctr-000001",
        feature_service="ctr_v1",
        contract_hash=contract.hash,
        ad_ids=ads,
        scores=rng.random(len(ads), np.float32),
        tensors=Tensors(**tensors),
        shared_status=np.array([status[i][0] for i in contract.inputs if i.source != AD], np.uint8),
        ad_status=np.stack(own, axis=1),
        ad_times=np.zeros((len(ads), 0), np.int64),
    )


def _record(codec: SnapshotCodec, snapshot: Snapshot) -> dict[str, Any]:
    record: Any = fastavro.schemaless_reader(io.BytesIO(unframe(codec.encode(snapshot))[1]), snapshots.SCHEMA, None)
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
