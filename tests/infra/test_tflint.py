"""tflint's rules for Terraform hold, where it can be had: nothing unused, untyped or without a description."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.trees import FOLDERS, SOURCES


@pytest.mark.skipif(shutil.which("tflint") is None, reason="tflint is not on the PATH")
@pytest.mark.parametrize("folder", FOLDERS)
def test_no_rule_is_broken(tree: Path, folder: str) -> None:
    command = ["tflint", f"--config={SOURCES / '.tflint.hcl'}", f"--chdir={tree / folder}", "--format=compact"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
