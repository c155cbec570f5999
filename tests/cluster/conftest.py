"""Servers that the tests of a file share; each file starts its own, so that two cores carry one cluster at a time."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from adfeast.settings import FILE_VARIABLE
from tests.cluster.servers import Servers


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A platform that a demo has left here is none of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        (file := tmp_path_factory.mktemp("none") / "settings.yaml").touch()
        patch.setenv(FILE_VARIABLE, str(file))
        yield


@pytest.fixture(scope="session", autouse=True)
def _ends_as_if_interrupted() -> Iterator[None]:
    """Whoever ends the tests by SIGTERM has nothing left running either."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, former)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Nothing that is started here outlives the file's tests."""
    with Servers(tmp_path_factory.mktemp("servers")) as started:
        yield started
