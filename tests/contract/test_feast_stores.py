"""Plain Feast against both tiers and the lake: what it writes it reads, old never wins, and its commands can be
repeated.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from feast import FeatureStore

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EVENT_TIME
from adfeast.feast_ext.errors import TierError
from adfeast.feast_ext.online_layout import redis_key
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply, open_store
from adfeast.settings import Settings
from tests.contract.feature_rows import rows

NOON = datetime(2019, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def own(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project beside the platform's, with a registry and a lake of its own."""
    home = tmp_path_factory.mktemp("stores")
    return settings.model_copy(
        update={"project": "stores", "registry_url": f"sqlite:///{home}/registry.db", "lake": str(home / "lake")}
    )


@pytest.fixture(scope="module")
def store(own: Settings) -> FeatureStore:
    return apply(own)


@pytest.fixture(scope="module")
def definitions(own: Settings, store: FeatureStore) -> Definitions:
    return load_definitions(own)


def read(store: FeatureStore, view, keys):
    refs = [f"{view.name}:{f.name}" for f in view.features]
    return store.get_online_features(refs, [{view.join_key: k} for k in keys]).to_dict()


def test_applying_again_changes_nothing(own, store, definitions):
    apply(own)
    assert load_definitions(own) == definitions


def test_each_tier_holds_its_views_and_no_other(own, store, definitions):
    client = boto3.client(
        "dynamodb",
        endpoint_url=own.dynamodb_endpoint,
        region_name=own.aws_region,
        aws_access_key_id=own.aws_access_key_id,
        aws_secret_access_key=own.aws_secret_access_key,
    )
    pages = client.get_paginator("list_tables").paginate()
    tables = {t for page in pages for t in page["TableNames"] if t.startswith("stores.")}
    assert tables == {f"stores.{v.name}" for v in definitions.views.values() if v.tier == "dynamodb"}


def test_an_older_row_never_wins_and_a_correction_does(store, definitions):
    for view in definitions.views.values():
        newest, older, corrected = (
            rows(view, ["k"], moment, random.Random(n)) for n, moment in enumerate((NOON, NOON - HOUR, NOON + HOUR))
        )
        values = {}
        for step, frame in (("newest", newest), ("older", older), ("corrected", corrected)):
            store.write_to_online_store(view.name, frame)
            values[step] = read(store, view, ["k"])
        assert values["older"] == values["newest"] != values["corrected"], view.name


def test_a_hash_lives_as_long_as_its_rows_and_not_for_ever(own, store, definitions):
    view = next(v for v in definitions.views.values() if v.tier == "redis")
    key = redis_key(view.join_key, "lives", own.project)
    with redis.Redis(own.redis_host, own.redis_port) as client:
        # New, about to go, and kept longer by another view of the entity.
        for left, least, most in ((None, 1.1, 1.3), (10, 1.1, 1.3), (10 * view.max_age_s, 9, 10)):
            if left:
                client.expire(key, left)
            store.write_to_online_store(view.name, rows(view, ["lives"], NOON, random.Random(1)))
            assert least * view.max_age_s < client.ttl(key) <= most * view.max_age_s


def test_ids_stay_exact_beside_nulls(own, store, definitions):
    view = next(
        v for v in definitions.views.values() if v.kind == "batch" and any(f.role == "sparse" for f in v.features)
    )
    name = next(f.name for f in view.features if f.role == "sparse")
    big = (1 << 60) - 1
    columns = {view.join_key: ["a", "b"], name: pa.array([big, None], pa.int64())}
    stamp = pa.array([NOON] * 2, pa.timestamp("us", "UTC"))
    path = Path(view.table) / "as_of=20191128T120000" / "part.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns | {EVENT_TIME: stamp, "created_timestamp": stamp}), path)
    (path.parent / "_unfinished.parquet").write_bytes(b"not yet")
    store.materialize(NOON - HOUR, NOON, [view.name])
    assert read(store, view, ["a", "b"])[name] == [big, None]

    entities = pd.DataFrame(
        {view.join_key: ["a", "b", "a"], "event_timestamp": [NOON + HOUR, NOON + HOUR, NOON - HOUR]}
    )
    pulled = store.get_historical_features(entities, [f"{view.name}:{f.name}" for f in view.features]).to_arrow()
    found = {(r[view.join_key], r["event_timestamp"]): r[name] for r in pulled.to_pylist()}
    assert found == {("a", NOON + HOUR): big, ("b", NOON + HOUR): None, ("a", NOON - HOUR): None}


def test_a_view_without_a_tier_is_refused(store, definitions):
    view = store.get_feature_view(next(v.name for v in definitions.views.values() if v.kind == "batch"))
    view.tags = {}
    with pytest.raises(TierError, match=f"view '{view.name}' has tier ''"):
        store._get_provider().online_store.tier(view)


def test_the_commands_work_unmodified(settings: Settings, tmp_path: Path):
    """In a copy of the repository, whose relative registry path leads into the copy."""
    repo = tmp_path / "feature_repo"
    shutil.copytree(settings.feature_repo, repo, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".local" / "state").mkdir(parents=True)
    feast = str(Path(sys.executable).with_name("feast"))
    for command in (["apply"], ["apply"], ["materialize-incremental", "2019-11-29T00:00:00"]):
        ended = subprocess.run([feast, *command], cwd=repo, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr[-2000:]
    copied = settings.model_copy(update={"registry_url": f"sqlite:///{tmp_path}/.local/state/registry.db"})
    assert load_definitions(copied).signature(settings.feature_service) == load_definitions(settings).signature(
        settings.feature_service
    )
    assert open_store(copied).get_feature_service(settings.feature_service).name == settings.feature_service
