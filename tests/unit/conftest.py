"""Tests that need no platform know nothing of one that a demo has left on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from adfeast.settings import FILE_VARIABLE


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Around each test of this folder with its fixtures, whatever their scope."""
    if not item.path.is_relative_to(Path(__file__).parent):  # pytest asks this hook around every test that it runs
        return (yield)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        (file := Path(folder) / "settings.yaml").touch()
        patch.setenv(FILE_VARIABLE, str(file))
        return (yield)
