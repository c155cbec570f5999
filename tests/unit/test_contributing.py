"""CONTRIBUTING.md sends nobody to a place that is not there."""

from __future__ import annotations

import re

import pytest

from adfeast.settings import ROOT

NAMED = re.findall(r"`([^`\n]+)`", (ROOT / "CONTRIBUTING.md").read_text())
PATHS = sorted({name for name in NAMED if re.fullmatch(r"[\w./-]+(/|\.\w+)|[\w.-]+(/[\w.-]+)+", name)} - {".local/"})
TARGETS = sorted({words[1] for name in NAMED if (words := name.split())[0] == "make"})


def test_it_names_the_places_of_a_change() -> None:
    assert len(PATHS) > 30
    assert "unit" in TARGETS


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()
    assert (ROOT / path).is_dir() == path.endswith("/")


@pytest.mark.parametrize("target", TARGETS)
def test_a_make_target_that_is_named_is_listed_by_make_help(target: str) -> None:
    assert re.search(rf"^{target}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
