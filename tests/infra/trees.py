"""Copies of infra/terraform with a plan of the definitions in each environment, and Terraform in a folder of them.

Nothing is written beside the sources.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from adfeast.feast_ext.repo import declared
from adfeast.settings import ROOT, Settings
from infra.terraform_plan import placeless, terraform_plan

SOURCES = ROOT / "infra" / "terraform"
ENVIRONMENTS = ("dev", "staging", "prod")
FOLDERS = [
    *sorted(f"modules/{module.name}" for module in (SOURCES / "modules").iterdir()),
    *(f"environments/{environment}" for environment in ENVIRONMENTS),
]
PROGRAM = ROOT / ".local" / "env" / "terraform" / "bin" / "python"
PLUGINS = ROOT / ".local" / "cache" / "terraform"


def plan(repo: Path = ROOT / "feature_repo") -> str:
    """What `adfeast plan --format terraform` prints of a feature repo."""
    settings = placeless(Settings(feature_repo=repo))
    return json.dumps(terraform_plan(declared(settings), settings))


def copied(folder: Path, planned: str) -> Path:
    """The Terraform, in a folder below `folder`, with a plan."""
    tree = folder / "terraform"
    shutil.copytree(SOURCES, tree, symlinks=True, ignore=shutil.ignore_patterns(".terraform*", "*.tfvars*"))
    for environment in ENVIRONMENTS:
        (tree / "environments" / environment / "plan.auto.tfvars.json").write_text(planned)
    return tree


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Terraform in a folder, after its `init`; on the provider's schemas alone unless AWS_PROVIDER=real."""
    PLUGINS.mkdir(parents=True, exist_ok=True)
    command = [str(PROGRAM), "-m", "infra.terraform_offline.run", str(folder), *arguments]
    more = {"PYTHONPATH": str(ROOT), "TF_PLUGIN_CACHE_DIR": str(PLUGINS)}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | more, check=False)
