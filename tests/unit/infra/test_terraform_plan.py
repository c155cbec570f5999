"""What Terraform reads follows from the definitions, and from nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from adfeast.contract.definitions import Definitions
from adfeast.feast_ext.repo import declared
from adfeast.settings import ROOT, Settings
from cli.plan import plan
from infra.terraform_plan import placeless, terraform_plan

VIEW = """

ad_twin = batch_view(
    "ad_twin",
    entity=ad,
    query="SELECT ad_id, hash_id(ad_id) AS twin_key FROM ads WHERE event_timestamp <= :as_of",
    features=[feature("twin_key", Int64, "sparse", hash_size=64, description="the ad once more")],
    max_age=days(1),
    tier="dynamodb",
    description="a view that was added",
)
"""


def planned(repo: Path) -> tuple[Definitions, dict[str, Any]]:
    settings = placeless(Settings(feature_repo=repo))
    definitions = declared(settings)
    return definitions, terraform_plan(definitions, settings)["plan"]


@pytest.fixture(scope="module")
def today() -> tuple[Definitions, dict[str, Any]]:
    import feast

    # `declared` would leave its light one to the tests that follow.
    assert feast.FeatureStore
    return planned(ROOT / "feature_repo")


def test_every_view_has_its_table_and_every_batch_view_its_schedule(today: tuple[Definitions, dict[str, Any]]) -> None:
    definitions, found = today
    stored = {v.name for v in definitions.views.values() if v.tier == "dynamodb"}
    batch = {v.name for v in definitions.views.values() if v.kind == "batch"}
    assert {t["view"] for t in found["tables"].values()} == stored
    assert {name.removeprefix("materialize-") for name in found["schedules"]} == batch | {"training-set"}
    for schedule in found["schedules"].values():
        assert schedule["grace_s"] < schedule["interval_s"]
        assert schedule["rate_minutes"] * 60 <= schedule["interval_s"]


def test_tables_are_named_as_feast_names_them(today: tuple[Definitions, dict[str, Any]]) -> None:
    from feast.infra.online_stores.dynamodb import DynamoDBOnlineStoreConfig

    definitions, found = today
    template = DynamoDBOnlineStoreConfig(region="x").table_name_template
    for name, table in found["tables"].items():
        assert name == template.format(project=definitions.project, table_name=table["view"])


def test_topics_say_who_uses_them_and_how_long_they_are_kept(today: tuple[Definitions, dict[str, Any]]) -> None:
    definitions, found = today
    kinds = {
        kind: [t for t, topic in found["topics"].items() if topic["kind"] == kind] for kind in ("events", "values")
    }
    assert set(definitions.events) < set(kinds["events"])
    assert len(kinds["values"]) == sum(v.kind == "stream" for v in definitions.views.values())
    assert all(topic["partitions"] >= 1 and int(topic["configs"]["retention.ms"]) for topic in found["topics"].values())
    assert all(prefix.endswith("/") and ":" not in prefix for prefix in found["lake"])


def test_a_view_that_is_added_changes_the_plan_alone(tmp_path: Path, today: tuple[Definitions, dict[str, Any]]) -> None:
    shutil.copytree(ROOT / "feature_repo", tmp_path / "repo", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "repo" / "batch_views.py").open("a") as file:
        file.write(VIEW)
    definitions, before = today
    _, after = planned(tmp_path / "repo")
    assert set(after["tables"]) - set(before["tables"]) == {f"{definitions.project}.ad_twin"}
    assert after["schedules"].keys() - before["schedules"].keys() == {"materialize-ad_twin"}
    assert after["topics"] == before["topics"]
    assert after["flink"] == before["flink"]


def test_the_command_prints_it_and_another_machine_prints_the_same(
    monkeypatch: pytest.MonkeyPatch, today: tuple[Definitions, dict[str, Any]]
) -> None:
    monkeypatch.setenv("ADFEAST_LAKE", "s3://elsewhere/lake")
    monkeypatch.setenv("ADFEAST_KAFKA_BOOTSTRAP", "elsewhere:9092")
    said = CliRunner().invoke(plan, ["--format", "terraform"], catch_exceptions=False)
    assert json.loads(said.output) == {"plan": today[1]}


def test_labels_are_used_as_values_are(today: tuple[Definitions, dict[str, Any]]) -> None:
    definitions, _ = today
    found = terraform_plan(definitions, placeless(Settings(label_window_s=3_600)))["plan"]
    kinds = {name: topic["kind"] for name, topic in found["topics"].items() if name.startswith("labels.")}
    assert kinds == {f"labels.{definitions.project}": "values", f"labels.{definitions.project}.refused": "late"}
    assert found["flink"]["jobs"]["labels"]["kind"] == "features"
