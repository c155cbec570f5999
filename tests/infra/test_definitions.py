"""A feature view that is added reaches AWS through the plan: not a line of Terraform changes."""

from __future__ import annotations

import shutil
from pathlib import Path

from adfeast.settings import ROOT
from tests.infra.trees import SOURCES, copied, plan, terraform

VIEWS = {
    "batch_views.py": """

ad_twin = batch_view(
    "ad_twin",
    entity=ad,
    query="SELECT ad_id, hash_id(ad_id) AS twin_key FROM ads WHERE event_timestamp <= :as_of",
    features=[feature("twin_key", Int64, "sparse", hash_size=64, description="the ad once more")],
    max_age=days(1),
    tier="dynamodb",
    description="a view that was added",
)
""",
    "stream_views.py": """

ad_twin_activity = stream_view(
    "ad_twin_activity",
    entity=ad,
    events=clicks,
    features=[windowed("twin_clicks_15m", "count", "event_id", minutes(15), seconds(30))],
    max_age=days(1),
    description="a view that was added",
)
""",
}
ADDED = """
mock_provider "aws" {}

variables {
DEPLOYMENT
}

run "it_is_there" {
  command = plan

  assert {
    condition     = anytrue([for t in module.platform.made.tables : endswith(t, ".ad_twin")])
    error_message = "no table"
  }
  assert {
    condition     = anytrue([for t in module.platform.made.topics : endswith(t, "ad_twin_activity")])
    error_message = "no topic"
  }
  assert {
    condition     = anytrue([for s in module.platform.made.schedules : endswith(s, "-materialize-ad_twin")])
    error_message = "no schedule"
  }
}
"""


def test_a_view_that_is_added_is_made_without_a_line_of_terraform(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    shutil.copytree(ROOT / "feature_repo", repo, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    trees = {"before": copied(tmp_path / "before", plan(repo))}
    for file, view in VIEWS.items():
        (repo / file).write_text((repo / file).read_text() + view)
    trees["after"] = copied(tmp_path / "after", plan(repo))

    own = (SOURCES / "environments" / "tests" / "environment.tftest.hcl").read_text()
    deployment = own[own.index("variables {") + len("variables {") : own.index("\n}\n", own.index("variables {"))]
    found = {}
    for when, tree in trees.items():
        (tree / "environments" / "tests" / "added.tftest.hcl").write_text(ADDED.replace("DEPLOYMENT", deployment))
        found[when] = terraform(tree / "environments" / "prod", "test", "-no-color")
    for problem in ("no table", "no topic", "no schedule"):
        assert problem in found["before"].stderr
    assert found["after"].returncode == 0, found["after"].stderr
