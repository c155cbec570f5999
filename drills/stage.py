"""A platform of a drill's own: applied, fed with tables, with a first model, traffic and a killer."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EVENT_TIME
from adfeast.contract.signature import AD, USER
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import ROOT, Settings, load_settings
from demo.traffic.open_bandit import COLUMNS
from drills.commands import Commands
from drills.kills import PROGRAMS, SERVERS, Killer
from drills.old_producer import OldProducer
from drills.traffic import Traffic
from infra.local.platform.platform import Platform

USERS, ADS = [f"user-{n}" for n in range(60)], [f"ad-{n}" for n in range(40)]
PRIOR = 0.02


@dataclass(frozen=True)
class Stage:
    """What a drill plays with."""

    root: Path
    platform: Platform
    settings: Settings
    commands: Commands
    traffic: Traffic
    old: OldProducer
    killer: Killer
    began: datetime

    @property
    def repo(self) -> Path:
        """The feature repository that is edited."""
        return self.root / "feature_repo"

    @property
    def definitions(self) -> Definitions:
        """What is applied now."""
        return load_definitions(self.settings)


@contextmanager
def stage(root: Path, rate: float, kill_every_s: float, seed: int) -> Iterator[Stage]:
    """Everything up, with traffic, and a killer to be started; stopped without a trace at the end of the block."""
    home, repo, before = root / ".local", root / "feature_repo", dict(os.environ)
    shutil.copytree(ROOT / "feature_repo", repo, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"ADFEAST_SETTINGS": str(home / "settings.yaml"), "ADFEAST_FEATURE_REPO": str(repo)}
    os.environ |= environment
    platform = Platform(home)
    try:
        platform.up()
        settings, dice = load_settings(), random.Random(seed)
        commands = Commands(repo, environment, dice)
        commands.feast_apply()
        definitions = load_definitions(settings)
        _deliver(settings, definitions, seed)
        for program in ("redis_writer", "reconciler", "heartbeat"):
            platform.start(program)
        artifact = home / "artifacts" / "first"
        commands.adfeast("model", "bootstrap", "--prior", str(PRIOR), "--out", str(artifact))
        first = commands.adfeast("model", "register", "--artifact", str(artifact))["version"]
        commands.adfeast("model", "deploy", "--version", str(first))
        for server in SERVERS:
            platform.start(server)
        traffic = Traffic(settings.grpc_address, definitions, USERS, ADS, rate, seed)
        old = OldProducer(settings, definitions, USERS, ADS, seed)
        killer = Killer(platform, kill_every_s, seed, PROGRAMS)
        began = datetime.now(UTC)
        traffic.start()
        old.start()
        try:
            yield Stage(root, platform, settings, commands, traffic, old, killer, began)
        finally:
            for stop in (killer.stop, traffic.stop, old.stop):
                stop()
    finally:
        platform.down()
        os.environ.clear()
        os.environ.update(before)


def last_minute(ago: timedelta) -> str:
    """The last whole minute that is at least `ago` over, as commands take it."""
    moment = datetime.now(UTC) - ago
    return moment.replace(second=0, microsecond=0).isoformat()


def _deliver(settings: Settings, definitions: Definitions, seed: int) -> None:
    """What an identity team and a catalogue team would deliver, a day ago, with made-up values."""
    random_source, at = np.random.default_rng(seed), datetime.now(UTC) - timedelta(days=1)
    width = next(f.width for v in definitions.views.values() for f in v.features if f.role == "embedding")
    for name, entity, keys in (("users", USER, USERS), ("ads", AD, ADS)):
        key = definitions.entities[entity]
        table = {c: keys if c == key else _column(c, len(keys), random_source) for c in COLUMNS[name]}
        if entity == AD:
            table["embedding"] = list(random_source.standard_normal((len(keys), width), np.float32))
        stamp = pa.array([at] * len(keys), pa.timestamp("us", "UTC"))
        folder = Path(definitions.tables[name].url)
        folder.mkdir(parents=True, exist_ok=True)
        whole = pa.table(table | {EVENT_TIME: stamp, "created_timestamp": stamp})
        pq.write_table(whole, folder / f"delivery-{time.time_ns()}.parquet")


def _column(name: str, count: int, random_source: np.random.Generator) -> list[float] | list[str]:
    if name.endswith("_score"):
        return random_source.standard_normal(count).tolist()  # type: ignore[no-any-return]
    return [f"{name}-{n}" for n in random_source.integers(0, 9, count)]
