"""A deployment with a lake of delivered tables and archived events of some days, and definitions that can be edited."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from adfeast import watermarks
from adfeast.clock import ManualClock, to_ms
from adfeast.contract.definitions import Definitions, View
from adfeast.contract.events import CLICKS, EVENT_ID, EVENT_TIME, IMPRESSION_ID, IMPRESSIONS, REQUEST_ID
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply, open_store
from adfeast.ledger import Ledger, Run
from adfeast.settings import Settings
from demo.traffic.open_bandit import COLUMNS

DAY = timedelta(days=1)
FIRST = datetime(2019, 11, 25, tzinfo=UTC)
DAYS = 3
KEYS = 150  # so that one of them is less than the hundredth that a view may lose
WIDTH = 128
NOW = ManualClock(to_ms(FIRST + 30 * DAY))
_TIME = pa.timestamp("ms", "UTC")
_ARROW = {"string": pa.string(), "int": pa.int32(), "long": pa.int64()}


@dataclass
class Deployment:
    """A project of its own on the platform's servers."""

    settings: Settings

    @property
    def definitions(self) -> Definitions:
        return load_definitions(self.settings)

    def view(self, name: str) -> View:
        return self.definitions.views[name]

    def edit(self, old: str, new: str) -> None:
        """Changes the batch views' definitions and applies them."""
        file = self.settings.feature_repo / "batch_views.py"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        apply(self.settings)

    def archived(self, until: datetime) -> None:
        """Says that everything up to a time is archived."""
        known = dict.fromkeys(self.definitions.events, to_ms(until))
        watermarks.publish(self.settings, known, to_ms(until))

    def deliver_ads(self, moment: datetime, unsound: int = 0, keys: int = KEYS) -> None:
        """A delivery of the ads, the first `unsound` ones with an embedding that is too short."""
        rng = np.random.default_rng(to_ms(moment) % 1000)
        vectors = [list(map(float, rng.standard_normal(3 if n < unsound else WIDTH))) for n in range(keys)]
        self._deliver("ads", "ad_id", moment, keys, {"embedding": pa.array(vectors, pa.list_(pa.float32()))})

    def deliver_users(self, moment: datetime) -> None:
        self._deliver("users", "user_id", moment, KEYS, {})

    def _deliver(self, table: str, key: str, moment: datetime, keys: int, more: dict[str, Any]) -> None:
        ids = [f"{table[:-1]} {n}" for n in range(keys)]
        stamp = pa.array([moment] * keys, _TIME)
        columns = {c: ids if c == key else ["3"] * keys for c in COLUMNS[table]} | more
        name = f"tables/{table}/{moment:%Y%m%d}.parquet"
        self._put(name, pa.table(columns | {EVENT_TIME: stamp, "created_timestamp": stamp}))

    def archive(self, topic: str, day: datetime, rows: list[dict[str, Any]]) -> None:
        schema = self.definitions.events[topic]["fields"]
        fields = [(f["name"], _TIME if isinstance(f["type"], dict) else _ARROW[f["type"]]) for f in schema]
        fill = {n: 1 if pa.types.is_integer(t) else "x" for n, t in fields if t != _TIME}
        table = pa.Table.from_pylist([fill | row for row in rows], pa.schema(fields))
        self._put(f"events/{topic}/date={day:%Y-%m-%d}/part-0.parquet", table)

    def _put(self, name: str, table: pa.Table) -> None:
        path = Path(self.settings.lake_path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, coerce_timestamps="ms")

    def computed(self, view: str, end: datetime) -> pa.Table | None:
        """The published rows of an interval, by key."""
        return self._read(f"{self.view(view).table}/as_of={end:%Y%m%dT%H%M%S}", view)

    def aside(self, view: str, end: datetime) -> pa.Table | None:
        return self._read(self.settings.lake_path("quarantine", view, f"as_of={end:%Y%m%dT%H%M%S}"), view)

    def _read(self, folder: str, view: str) -> pa.Table | None:
        files = sorted(map(str, Path(folder).glob("*.parquet")))
        return pads.dataset(files).to_table().sort_by(self.view(view).join_key) if files else None

    def online(self, view: str, keys: list[str], feature: str) -> list[Any]:
        found = self.view(view)
        asked = [{found.join_key: k} for k in keys]
        answer = open_store(self.settings).get_online_features([f"{view}:{feature}"], asked).to_dict()
        return list(answer[feature])

    def runs(self, view: str | None = None) -> list[Run]:
        return Ledger(self.settings, NOW).runs("batch_view", view)


def deploy(settings: Settings, home: Path, project: str) -> Deployment:
    """Applies a copy of the definitions and fills the lake; nothing is said of the archive's completeness."""
    repo = home / "feature_repo"
    shutil.copytree(settings.feature_repo, repo, ignore=shutil.ignore_patterns("__pycache__"))
    own = settings.model_copy(
        update={
            "project": project,
            "feature_repo": repo,
            "registry_url": f"sqlite:///{home}/registry.db",
            "ledger_url": f"sqlite:///{home}/ledger.db",
            "lake": str(home / "lake"),
            "local": home,
        }
    )
    apply(own)
    made = Deployment(own)
    made.deliver_ads(FIRST - 3 * DAY)
    made.deliver_users(FIRST - 3 * DAY)
    for d in range(DAYS):
        day = FIRST + d * DAY
        shown = [_event(f"{d}-{n}", n, day) for n in range(KEYS)]
        clicked = [{**_event(f"c{d}-{n}", n, day), IMPRESSION_ID: f"{d}-{n}"} for n in range(0, KEYS, 4)]
        made.archive(IMPRESSIONS, day, shown)
        made.archive(CLICKS, day, clicked)
    return made


def _event(name: str, n: int, day: datetime) -> dict[str, Any]:
    moment = day + timedelta(minutes=n)
    return {EVENT_ID: name, REQUEST_ID: f"r{name}", "user_id": f"user {n}", "ad_id": f"ad {n}", EVENT_TIME: moment}
