"""Definitions change under a loaded model, with real stores: what is refused, planned, kept and taken away."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from feast import Entity, FeatureStore

from adfeast.clock import SystemClock
from adfeast.contract.history import CONTRACT, History
from adfeast.contract.topics import features_topic, late_topic
from adfeast.feast_ext.catalogue import catalogue
from adfeast.feast_ext.refusals import ApplyRefused
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply, open_store
from adfeast.fleet import LoadedModel, Report, forget_loaded, report, set_loaded, withdraw
from adfeast.ledger import Ledger, RunInProgress
from adfeast.settings import Settings
from infra.garbage import Found, collect
from infra.local.platform.platform import Platform
from infra.stored import Tables
from streaming.kafka_admin import admin
from tests.contract.feature_rows import rows

NOW = datetime(2019, 11, 28, 12, tzinfo=UTC)
BIN = Path(sys.executable).parent


@dataclass
class Deployment:
    """A copy of the feature repo that may be edited, applied to a platform of its own."""

    settings: Settings
    environment: dict[str, str]

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.settings.feature_repo / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def restore(self) -> None:
        shutil.copytree(Settings().feature_repo, self.settings.feature_repo, dirs_exist_ok=True)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        return subprocess.run(
            [str(BIN / program), *arguments],
            cwd=self.settings.feature_repo,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def registry(self) -> list[Any]:
        """Every row of Feast's tables; reading the file itself would miss what stands in its journal."""
        with sqlite3.connect(self.settings.registry_url.removeprefix("sqlite:///")) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return [(t, connection.execute(f"SELECT * FROM {t}").fetchall()) for t in sorted(tables)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("stores"), ["valkey", "dynamodb", "kafka", "flink_jobmanager"]) as platform:
        yield platform


@pytest.fixture
def deployed(running: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """The definitions as they are, applied; every test has a registry, a ledger and a project of its own."""
    state, repo = tmp_path / ".local" / "state", tmp_path / "feature_repo"
    state.mkdir(parents=True)
    shutil.copytree(running.settings.feature_repo, repo, ignore=shutil.ignore_patterns("__pycache__"))
    own = {
        "feature_repo": repo,
        "registry_url": f"sqlite:///{state}/registry.db",
        "ledger_url": f"sqlite:///{state}/ledger.db",
        "lake": str(tmp_path / "lake"),
    }
    for name, value in own.items():
        monkeypatch.setenv(f"ADFEAST_{name.upper()}", str(value))
    monkeypatch.setenv("ADFEAST_SETTINGS", str(running.home.settings_file))
    deployment = Deployment(Settings(), dict(os.environ))
    apply(deployment.settings)
    yield deployment
    with redis.Redis(port=deployment.settings.redis_port) as client:
        client.flushall()
    tables = Tables(deployment.settings)
    for view in tables.views():
        tables.drop(view)


def load(settings: Settings, name: str = "ctr-000001") -> None:
    definitions = load_definitions(settings)
    set_loaded(settings, LoadedModel(name, 1, "onnx", definitions.signature(settings.feature_service), 0))


WINDOW = (
    "stream_views.py",
    '"impressions_5m", "count", "event_id", minutes(5)',
    '"impressions_5m", "count", "event_id", minutes(10)',
)


def test_plain_feast_apply_refuses_and_touches_nothing(deployed: Deployment) -> None:
    load(deployed.settings)
    before = deployed.registry()
    deployed.edit(*WINDOW)
    ended = deployed.run("feast", "apply")
    assert ended.returncode == 1
    for said in (
        "'impressions_5m' of 'user_impression_activity'",
        "ctr-000001",
        "300s",
        "600s",
        "adfeast model unload",
    ):
        assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 2
    assert [r for r in deployed.registry() if not r[0].startswith("adfeast")] == [
        r for r in before if not r[0].startswith("adfeast")
    ]
    forget_loaded(deployed.settings, "ctr-000001")
    ended = deployed.run("feast", "apply")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (
        load_definitions(deployed.settings)
        .identities["user_impression_activity", "impressions_5m"]
        .made.endswith("600s by 10s")
    )


def test_an_apply_from_a_running_process_is_held_to_the_same(deployed: Deployment) -> None:
    load(deployed.settings)
    before = deployed.registry()
    deployed.edit("services.py", "        ad_history,\n", "")
    (deployed.settings.feature_repo / "batch_views.py").write_text(
        (deployed.settings.feature_repo / "batch_views.py").read_text().split("ad_history = batch_view(")[0]
    )
    deployed.edit("services.py", "ad_catalogue, ad_history, user_history", "ad_catalogue, user_history")
    with pytest.raises(ApplyRefused, match="'ad_ctr_7d' of 'ad_history' would be removed"):
        apply(deployed.settings)
    assert deployed.registry() == before


def test_a_notebook_applies_one_object_without_being_taken_for_the_whole(deployed: Deployment) -> None:
    load(deployed.settings)
    store: FeatureStore = open_store(deployed.settings)
    before = load_definitions(deployed.settings)
    store.apply([Entity(name="shop", join_keys=["shop_id"])])
    store.apply(store.get_feature_view("ad_history"))
    after = load_definitions(deployed.settings)
    assert after.entities == before.entities | {"shop": "shop_id"}
    assert after.views == before.views
    view = store.get_stream_feature_view("user_click_activity")
    feature = next(f for f in view.features if "made" in f.tags)  # Feast puts the join key anywhere among them
    feature.tags = {**feature.tags, "made": "otherwise"}
    with pytest.raises(ApplyRefused, match="of 'user_click_activity' would be another feature"):
        store.apply(view)


def test_plan_says_what_apply_would_do_and_writes_nothing(deployed: Deployment) -> None:
    before = deployed.registry()
    ended = deployed.run("adfeast", "plan")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "nothing would change\n", "")
    load(deployed.settings)
    deployed.edit(*WINDOW)
    ended = deployed.run("adfeast", "plan", "--json")
    found = json.loads(ended.stdout)
    assert ended.returncode == 3
    assert [(c["name"], c["how"], c["models"]) for c in found["changes"]] == [
        ("user_impression_activity.impressions_5m", "changed", ["ctr-000001"])
    ]
    assert "user_impression_activity" in found["rebuilt"][0]
    with pytest.raises(ApplyRefused) as refused:
        apply(deployed.settings)
    assert list(refused.value.reasons) == found["refused"]
    assert deployed.registry() == before


def test_a_removed_view_keeps_its_table_and_its_values_until_gc(deployed: Deployment) -> None:
    settings = deployed.settings
    definitions, store = load_definitions(settings), open_store(settings)
    for view in definitions.views.values():
        store.write_to_online_store(view.name, rows(view, ["a", "b"], NOW, random.Random(1)))
    with admin(settings.kafka_bootstrap) as client:
        topics = [kind(settings.project, "user_click_activity") for kind in (features_topic, late_topic)]
        client.create_topics({topic: {"num_partitions": 1} for topic in topics})
    contract = definitions.contract(settings.feature_service)
    History(settings).record(CONTRACT, contract.hash, contract.to_json())
    for name in ("ad_history", "user_click_activity"):
        deployed.edit("services.py", f"        {name},\n", "")
    deployed.edit("services.py", "ad_catalogue, ad_history, user_history", "ad_catalogue, user_history")
    deployed.edit("services.py", "ad_impression_activity, user_click_activity", "ad_impression_activity")
    batch, stream = settings.feature_repo / "batch_views.py", settings.feature_repo / "stream_views.py"
    batch.write_text(batch.read_text().split("ad_history = batch_view(")[0])
    head, _, tail = stream.read_text().partition("user_click_activity = stream_view(")
    stream.write_text(head + tail[tail.index("ad_impression_activity = ") :])
    apply(settings)

    assert "ad_history" in Tables(settings).views()
    before = dump(settings)
    report(settings, Report("one", "", 1, contract.hash, ""), SystemClock().now_ms())
    assert collect(settings, SystemClock(), apply=True) == Found(()), "a server reads it"
    withdraw(settings, "one")
    dry = collect(settings, SystemClock(), apply=False)
    assert dump(settings) == before
    assert {(g.kind, g.name, g.size) for g in dry.garbage} == {
        ("table", "adfeast.ad_history", 2),
        ("fields", "user_click_activity.clicks_1h", 2),
        ("fields", "user_click_activity.clicks_5m", 2),
        ("fields", "user_click_activity (time)", 2),
        ("topic", "features.adfeast.user_click_activity", 0),
        ("topic", "late.adfeast.user_click_activity", 0),
    }
    assert collect(settings, SystemClock(), apply=True).garbage == dry.garbage
    assert collect(settings, SystemClock(), apply=True).garbage == ()
    left = load_definitions(settings)
    assert set(Tables(settings).views()) == {v.name for v in left.views.values() if v.tier == "dynamodb"}
    for view in left.views.values():
        read = open_store(settings).get_online_features(
            [f"{view.name}:{f.name}" for f in view.features], [{view.join_key: "a"}]
        )
        assert any(v != [None] for n, v in read.to_dict().items() if n != view.join_key), view.name
    assert sum(len(h) for h in dump(settings).values()) == sum(len(h) for h in before.values()) - 6


def test_gc_waits_for_no_apply(deployed: Deployment) -> None:
    with (
        Ledger(deployed.settings, SystemClock()).lease("definitions"),
        pytest.raises(RunInProgress, match="definitions"),
    ):
        collect(deployed.settings, SystemClock(), apply=True)


def test_features_tell_maker_reader_and_first_log(deployed: Deployment) -> None:
    settings = deployed.settings
    assert {f.logged_since_ms for f in catalogue(settings)} == {None}
    load(settings)
    contract = load_definitions(settings).contract(settings.feature_service)
    History(settings).record(CONTRACT, contract.hash, contract.to_json())
    found = {f.name: f for f in catalogue(settings)}
    makers = {n: found[n].maker for n in ("clicks_5m", "user_ctr_7d", "device")}
    assert makers == {"clicks_5m": "stream job", "user_ctr_7d": "batch view", "device": "caller"}
    assert found["clicks_5m"].models == ("ctr-000001",)
    assert found["clicks_5m"].logged_since_ms


def dump(settings: Settings) -> dict[bytes, dict[bytes, bytes]]:
    with redis.Redis(port=settings.redis_port) as client:
        return {key: client.hgetall(key) for key in client.scan_iter(_type="HASH")}
