"""A platform of a drill's own: applied, fed with tables, with a first model; then with traffic and a killer."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
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
STREAM_PROGRAMS = ("redis_writer", "reconciler", "heartbeat")


@dataclass(frozen=True)
class Deployed:
    """A platform whose servers answer with a first model."""

    root: Path
    platform: Platform
    settings: Settings
    commands: Commands

    @property
    def repo(self) -> Path:
        """The feature repository that is edited."""
        return self.root / "feature_repo"

    @property
    def definitions(self) -> Definitions:
        """What is applied now."""
        return load_definitions(self.settings)

    def first_model(self, name: str, prior: float) -> int:
        """Registers a model that answers `prior` for every candidate; its version."""
        artifact = str(self.root / ".local" / "artifacts" / name)
        self.commands.adfeast("model", "bootstrap", "--prior", str(prior), "--out", artifact)
        return int(self.commands.adfeast("model", "register", "--artifact", artifact)["version"])


@dataclass(frozen=True)
class Stage(Deployed):
    """What a drill plays with."""

    traffic: Traffic
    old: OldProducer
    killer: Killer
    began: datetime


@contextmanager
def deployed(
    root: Path,
    seed: int,
    parts: Sequence[str] | None = None,
    programs: Sequence[str] = STREAM_PROGRAMS,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Deployed]:
    """Everything up, nobody asks yet; stopped without a trace at the end of the block.

    Args:
        parts: that run; by default all.
        programs: of ours, that run beside the servers.
        settings: of the platform, beside its addresses.
    """
    home, repo, before = root / ".local", root / "feature_repo", dict(os.environ)
    shutil.copytree(ROOT / "feature_repo", repo, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"ADFEAST_SETTINGS": str(home / "settings.yaml"), "ADFEAST_FEATURE_REPO": str(repo)}
    os.environ |= environment
    platform = Platform(home, parts, settings)
    try:
        platform.up()
        commands = Commands(repo, environment, random.Random(seed))
        on = Deployed(root, platform, load_settings(), commands)
        on.commands.feast_apply()
        _deliver(on.settings, on.definitions, seed)
        for program in programs:
            platform.start(program)
        on.commands.adfeast("model", "deploy", "--version", str(on.first_model("first", PRIOR)))
        for server in SERVERS:
            platform.start(server)
        yield on
    finally:
        platform.down()
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def stage(
    root: Path, rate: float, kill_every_s: float, seed: int, settings: Mapping[str, object] | None = None
) -> Iterator[Stage]:
    """Everything up, with traffic, and a killer to be started; stopped without a trace at the end of the block."""
    with deployed(root, seed, settings=settings) as on:
        definitions = on.definitions
        traffic = Traffic(on.settings.grpc_address, definitions, USERS, ADS, rate, seed)
        old = OldProducer(on.settings, definitions, USERS, ADS, seed)
        killer = Killer(on.platform, kill_every_s, seed, PROGRAMS)
        began = datetime.now(UTC)
        traffic.start()
        old.start()
        try:
            yield Stage(on.root, on.platform, on.settings, on.commands, traffic, old, killer, began)
        finally:
            for stop in (killer.stop, traffic.stop, old.stop):
                stop()


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
