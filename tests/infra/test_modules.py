"""Every module and every environment is well-formed, valid, and passes its own tests."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.infra.trees import ENVIRONMENTS, FOLDERS, SOURCES, copied, terraform

TESTED = [m for m in FOLDERS if m != "modules/platform"]  # which the environments are the tests of


def test_files_are_formatted(tree: Path) -> None:
    done = terraform(tree, "fmt", "-check", "-recursive")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_valid(tree: Path, folder: str) -> None:
    done = terraform(tree / folder, "validate", "-no-color")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", TESTED)
def test_its_own_tests_pass(tree: Path, folder: str) -> None:
    done = terraform(tree / folder, "test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed, 0 failed", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) > 0


@pytest.mark.parametrize("file", sorted(SOURCES.rglob("*.tf")), ids=lambda file: str(file.relative_to(SOURCES)))
def test_variables_and_outputs_say_what_they_are(file: Path) -> None:
    for kind, name, body in re.findall(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', file.read_text(), re.M | re.S):
        assert "description" in body, f"{kind} {name}"
        assert kind == "output" or "  type " in body, f"{kind} {name}"


def test_what_aws_does_not_know_is_refused(tree: Path, tmp_path: Path) -> None:
    versions = (tree / "modules" / "key" / "versions.tf").read_text()
    (tmp_path / "main.tf").write_text(versions + 'resource "aws_kms_key" "this" {\n  enable_key_rotatoin = true\n}\n')
    done = terraform(tmp_path, "validate", "-no-color")
    assert done.returncode == 1
    assert 'named "enable_key_rotatoin" is not expected here' in " ".join(done.stderr.split())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_an_owner_is_told_to_fill_in_is_all_that_is_asked(tmp_path: Path, plan: str, environment: str) -> None:
    folder = copied(tmp_path, plan) / "environments" / environment
    shutil.copy(SOURCES / "environments" / environment / "terraform.tfvars.example", folder / "terraform.tfvars")
    (folder / "example").mkdir()
    (folder / "example" / "plan.tftest.hcl").write_text('mock_provider "aws" {}\n\nrun "plan" {\n  command = plan\n}\n')
    done = terraform(folder, "test", "-no-color", "-test-directory=example")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 0 failed" in done.stdout
