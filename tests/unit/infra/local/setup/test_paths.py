"""A clone works in whatever folder it is put into, or says which character of the path it cannot live with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from adfeast.settings import ROOT

WHAT_TO_DO = "Move it into a folder whose path has only"


def clone(folder: Path) -> Path:
    """What `make prerequisites` reads of the sources; nothing that git ignores is among it."""
    for name in ("infra", "streaming/java/src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", folder)
    return folder


def prerequisites(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`make prerequisites` with this machine's tools and none of its Java options."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("JAVA_OPTIONS", "TOOL_OPTIONS"))}
    return subprocess.run(
        ["make", "prerequisites"], cwd=folder, env=kept | environment, capture_output=True, text=True, check=False
    )


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", ["src2/adfeast-17.0", "11/feast_8", "job@2/x+y~1"], ids=["digits", "numbers", "signs"])
def test_a_clone_works_in_a_folder_with(tmp_path: Path, name: str) -> None:
    folder = clone(tmp_path / name)
    before = files(tmp_path)
    run = prerequisites(folder)
    assert run.returncode == 0, run.stderr
    outside = {path for path in files(tmp_path) - before if folder / ".local" not in (path, *path.parents)}
    assert outside == set()


def test_java_options_of_the_user_are_not_taken_for_a_version(tmp_path: Path) -> None:
    run = prerequisites(clone(tmp_path / "adfeast"), _JAVA_OPTIONS="-Dversion=8", JDK_JAVA_OPTIONS="-Dversion=11")
    assert run.returncode == 0, run.stderr


REFUSED = {
    "blank": ("my src/adfeast", "<blank>"),
    "blank_at_the_end": ("adfeast ", "<blank>"),
    "tab": ("a\tb", "<tab>"),
    "percent": ("100%/adfeast", "%"),
    "quote": ("it's", "'"),
    "double_quote": ('a"b', '"'),
    "dollar": ("a$HOME", "$"),
    "hash": ("c#", "#"),
    "colon": ("a:b", ":"),
    "semicolon": ("a;b", ";"),
    "comma": ("a,b", ","),
    "equals": ("day=1/adfeast", "="),
    "brackets": ("adfeast (copy)", "<blank>()"),
    "star": ("a*b", "*"),
    "backslash": ("a\\b", "\\"),
    "accent": ("josé", "é"),
}


@pytest.mark.parametrize(("name", "character"), REFUSED.values(), ids=REFUSED)
def test_a_path_that_cannot_work_is_refused_by_its_character_before_anything_is_written(
    tmp_path: Path, name: str, character: str
) -> None:
    folder = clone(tmp_path / name)
    before = files(tmp_path)
    run = prerequisites(folder)
    assert run.returncode == 2
    assert f"a path with {character} as in '{folder}'" in run.stderr
    assert WHAT_TO_DO in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert files(tmp_path) == before
