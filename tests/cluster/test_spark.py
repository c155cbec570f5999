"""The batch jobs on a Spark standalone cluster, with their lake on S3: by settings only, as a scheduler runs them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pytest
import yaml

from adfeast.contract.definitions import Definitions
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply, open_store
from adfeast.lake import filesystem, parquet_files
from adfeast.settings import Settings
from infra.local.parts.dynamodb import dynamodb
from infra.local.parts.s3 import s3
from infra.local.parts.valkey import valkey
from infra.local.platform.ports import Ports
from tests.cluster.servers import Servers, brief_java
from tests.cluster.spark import Spark
from tests.integration.commands import alone
from tests.integration.small_lake import DAY, write_lake

END = DAY + timedelta(days=1)
WRITTEN = "created_timestamp"


class Deployment:
    """A project with a lake of one day, and what the commands made of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.file = settings.local / "settings.yaml"
        self.file.write_text(yaml.safe_dump(json.loads(settings.model_dump_json())))
        apply(settings)
        self.definitions: Definitions = load_definitions(settings)
        write_lake(settings, self.definitions)

    def adfeast(self, *arguments: str) -> dict[str, Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ADFEAST_SETTINGS", str(self.file))
            patch.setenv("JAVA_TOOL_OPTIONS", brief_java())
            code, answer, error = alone(*arguments, "--json")
        assert code == 0, f"{answer}{error}"
        found: dict[str, Any] = json.loads(answer)
        return found

    def table(self, path: str) -> pa.Table:
        fs, folder = filesystem(self.settings, path)
        return pads.dataset(parquet_files(fs, folder), filesystem=fs, format="parquet").to_table()


@pytest.fixture(scope="module")
def base(servers: Servers) -> dict[str, Any]:
    """Addresses of the stores, which one project of each name has to itself."""
    ports = Ports(servers.home.root / "ports", lambda part: False)
    found: dict[str, Any] = {}
    for part in (dynamodb(servers.home, ports), valkey(servers.home, ports), s3(servers.home, ports)):
        servers.run(part)
        servers.wait(f"{part.name} answers", part.check)
        part.setup()
        found |= part.settings
    return found


def deployment(base: dict[str, Any], home: Path, project: str, **more: Any) -> Deployment:
    urls = {name: f"sqlite:///{home}/{name}.db" for name in ("registry_url", "ledger_url")}
    return Deployment(Settings(**(base | {"project": project, "local": home, **urls} | more)))


@pytest.fixture(scope="module")
def spark(servers: Servers) -> Spark:
    return Spark(servers)


@pytest.fixture(scope="module")
def cluster(base: dict[str, Any], spark: Spark, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return deployment(base, tmp_path_factory.mktemp("cluster"), "clustered", **spark.settings)


@pytest.fixture(scope="module")
def process(base: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The same day in a folder, made by a Spark in one process."""
    home = tmp_path_factory.mktemp("process")
    return deployment(base, home, "single", lake=str(home / "lake"), s3_endpoint=None)


LABELS = ("batch", "labels", "--start", DAY.isoformat(), "--end", END.isoformat(), "--name", "day")


def test_a_cluster_computes_the_features_that_one_process_computes(
    cluster: Deployment, process: Deployment, spark: Spark, servers: Servers
) -> None:
    views = [v for v in cluster.definitions.views.values() if v.kind == "batch"]
    # One of delivered tables alone, and one of events.
    views = [
        next(v for v in views if bool(set(v.reads) & cluster.definitions.events.keys()) is e) for e in (False, True)
    ]
    asked = ("batch", "materialize", "--until", END.isoformat(), *(word for v in views for word in ("--view", v.name)))
    made = [{o["view"]: (o["status"], o["rows"]) for o in d.adfeast(*asked)["outcomes"]} for d in (cluster, process)]
    assert made[0] == made[1]
    assert made[0].keys() == {v.name for v in views}
    assert {status for status, _ in made[0].values()} == {"done"}
    for view in views:
        tables = []
        for one in (cluster, process):
            url = f"{one.definitions.views[view.name].table}/as_of={END:%Y%m%dT%H%M%S}"
            tables.append(one.table(url).drop_columns([WRITTEN]).sort_by(view.join_key))
        assert tables[0].equals(tables[1]), view.name
        keys = [{view.join_key: key} for key in tables[0][view.join_key].to_pylist()]
        name = view.features[0].name
        online = open_store(cluster.settings).get_online_features([f"{view.name}:{name}"], keys).to_dict()
        assert online[name] == tables[0][name].to_pylist()
    ran = spark.executors(servers)
    assert all(ran), "a worker did nothing"
    assert ran[0] == ran[1]


def test_a_cluster_joins_the_labels_that_one_process_joins(cluster: Deployment, process: Deployment) -> None:
    answers = [one.adfeast(*LABELS) for one in (cluster, process)]
    assert answers[0]["counts"] == answers[1]["counts"]
    tables = [
        one.table(answer["path"]).sort_by("impression_id")
        for one, answer in zip((cluster, process), answers, strict=True)
    ]
    assert tables[0].num_rows > 0
    assert tables[0].equals(tables[1])


def test_a_model_is_trained_on_a_set_that_lies_on_s3(cluster: Deployment, tmp_path: Path) -> None:
    url = cluster.adfeast(*LABELS)["path"]
    assert url.startswith("s3://")
    made = ("--out", str(tmp_path / "model"), "--model", "lr", "--not-logged", "missing", "--no-incumbent")
    answer = cluster.adfeast("model", "train", "--training-set", url, *made)
    parts = answer["metrics"]["parts"]
    assert sum(part["rows"] for part in parts.values()) == cluster.table(url).num_rows
    assert json.loads((tmp_path / "model" / "evaluation.json").read_text())["training_set"] == url
