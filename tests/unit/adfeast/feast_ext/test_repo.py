"""A repo is read without most of Feast, and as an apply would read it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adfeast.errors import DefinitionError
from adfeast.feast_ext.repo import declared
from adfeast.settings import ROOT, Settings

READ = """
import sys
from adfeast.feast_ext.repo import declared
from adfeast.settings import Settings
found = declared(Settings())
print(found.contract("ctr_v1").hash, *(m for m in ("torch", "feast.feature_store") if m in sys.modules))
"""


def test_a_fresh_process_reads_the_same_without_most_of_feast() -> None:
    light = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=True, cwd=ROOT)
    import feast

    assert hasattr(feast, "FeatureStore")
    assert light.stdout.split() == [declared(Settings()).contract("ctr_v1").hash]
    assert light.stderr == ""


def test_a_folder_without_definitions_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=f"feature_repo={tmp_path} has no Python files"):
        declared(Settings(feature_repo=tmp_path))
