"""A platform of a benchmark's own: both online tiers filled through Feast, a DLRM with untrained weights, a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from adfeast.clock import to_ms
from adfeast.contract.definitions import Definitions
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply
from adfeast.settings import Settings
from benchmarks.harness.data import Population, fill, stand_at
from infra.local.platform.platform import Platform

PARTS = ("valkey", "dynamodb", "triton", "kafka", "mlflow")
SERVER = "prediction_server"
# The stream views stand still while it runs, and shall be fresh all the same.
# Every answer is whole: one that came down a rung would count as quick for what it left out.
SETTINGS: Mapping[str, object] = {
    "replay_speed": 1_000_000.0,
    **dict.fromkeys(("redis_budget_ms", "dynamodb_budget_ms", "triton_budget_ms"), 5_000),
}


@dataclass(frozen=True)
class Deployed:
    """What is asked, and where it runs.

    Attributes:
        people: in both tiers.
        model: Triton name of the one that answers.
        artifact: its folder.
        pids: process ids of the parts and the server, by name.
    """

    platform: Platform
    settings: Settings
    definitions: Definitions
    people: Population
    model: str
    artifact: Path
    pids: Mapping[str, int]


@contextmanager
def deployed(home: Path, people: Population, seed: int, show: Console) -> Iterator[Deployed]:
    """Everything up, in a fresh `home`; nothing runs afterwards."""
    from benchmarks.harness.model import publish  # torch, with its warnings

    show.print("starting the platform ...")
    with Platform(home, PARTS, SETTINGS) as platform:
        settings, artifact = platform.settings, home / "artifact"
        store = apply(settings)
        definitions = load_definitions(settings)
        show.print(f"filling both tiers: {len(people.users)} users, {len(people.ads)} ads ...")
        now = datetime.now(UTC)
        fill(store, definitions, settings.feature_service, people, now, seed)
        stand_at(settings, definitions, to_ms(now))
        model = publish(settings, artifact, seed)
        show.print(f"starting the server for {model} ...")
        platform.start(SERVER)
        pids = {s.part.name: s.pid for s in platform.status() if s.pid}
        yield Deployed(platform, settings, definitions, people, model, artifact, pids)
