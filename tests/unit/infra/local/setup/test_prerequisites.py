"""What is missing is named in one message, before anything is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adfeast.settings import ROOT
from infra.local.setup.prerequisites import java_version


def check(path: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "infra.local.setup.prerequisites"]
    return subprocess.run(command, env=environment, cwd=path, capture_output=True, text=True, check=False)


def program(folder: Path, name: str, text: str = "") -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{text}'\n")
    file.chmod(0o755)


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    run = check(tmp_path)
    assert run.returncode == 1
    for name in ("JDK", "make", "git", "apt-get install", "dnf install", "java-21-openjdk-devel"):
        assert name in run.stderr


def test_an_old_jdk_is_named_with_its_version(tmp_path: Path) -> None:
    for name in ("make", "git", "tar", "curl"):
        program(tmp_path, name)
    program(tmp_path, "java", 'openjdk version "11.0.2"')
    run = check(tmp_path)
    assert run.returncode == 1
    assert "is version 11" in run.stderr
    assert "git" not in run.stderr


def test_a_jdk_that_names_no_version_is_not_given_one(tmp_path: Path) -> None:
    program(tmp_path, "java", "Picked up JAVA_TOOL_OPTIONS: -Djava.io.tmpdir=/src2/tmp")
    assert "java -version` fails or names no version" in check(tmp_path).stderr


def test_nothing_missing_says_nothing(tmp_path: Path) -> None:
    for name in ("make", "git", "tar", "curl"):
        program(tmp_path, name)
    program(tmp_path, "java", 'openjdk version "21.0.2"')
    program(tmp_path, "javac", "javac 21.0.2")
    assert check(tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("javac 21", 21),
        ("javac 1.8.0_392", 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Djava.io.tmpdir=/src2/11.tmp\nopenjdk version "17.0.15" 2025-04-15', 17),
        ("Picked up _JAVA_OPTIONS: -Xmx512m\nPicked up JAVA_TOOL_OPTIONS: -Xms8m\njavac 21.0.2", 21),
        ('NOTE: Picked up JDK_JAVA_OPTIONS: -Dx=9\njava version "21.0.2" 2024-01-16 LTS', 21),
        ("Picked up JAVA_TOOL_OPTIONS: -Djava.io.tmpdir=/javac 8/tmp", 0),
        ("nothing", 0),
    ],
)
def test_java_version(text: str, version: int) -> None:
    assert java_version(text) == version
