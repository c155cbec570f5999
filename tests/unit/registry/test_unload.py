"""What a server may still answer with stays loaded, and only one at a time changes what is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adfeast import fleet
from adfeast.clock import ManualClock
from adfeast.contract.signature import Signature
from adfeast.ledger import Ledger, RunInProgress
from adfeast.settings import Settings
from registry import unload as unloading
from registry.deploy import deploy
from registry.journal import Promotion
from registry.unload import LEASE, in_use, unload, unload_others

OLD, REFUSED, NEW = "ctr-000004-onnx", "ctr-000005-onnx", "ctr-000006-onnx"
MINUTE = 60_000


class Loaded:
    """Triton and its repository, of which each has the same models."""

    def __init__(self, *names: str) -> None:
        self.models = set(names)

    def names(self) -> set[str]:
        return set(self.models)

    def unload(self, name: str) -> bool:
        self.models.discard(name)
        return True

    def remove(self, name: str) -> None:
        self.models.discard(name)

    def check(self) -> None:
        """As the holder of the lease."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100 * MINUTE)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment on which NEW is production, and was made so ten minutes ago."""
    promotion = Promotion(90 * MINUTE, "me", 6, "onnx", NEW, REFUSED, "")

    def newest_first(_settings: Settings) -> Iterator[Promotion]:
        yield promotion

    monkeypatch.setattr(unloading.journal, "newest_first", newest_first)
    monkeypatch.setattr(unloading, "production", lambda _settings: NEW)
    url = f"sqlite:///{tmp_path}/ledger.db"
    return Settings(ledger_url=url, registry_url=url, triton_repository=tmp_path / "triton")


def unloaded(settings: Settings, now_ms: int) -> set[str]:
    """What is left after a deploy of NEW, before which REFUSED was production."""
    loaded: Any = Loaded(OLD, REFUSED, NEW)
    for name in loaded.names():
        fleet.set_loaded(settings, fleet.LoadedModel(name, 1, "onnx", Signature("s", ()), now_ms))
    unload_others(settings, loaded, loaded, {NEW, REFUSED}, now_ms, loaded)
    assert {m.name for m in fleet.loaded_models(settings)} == loaded.models
    return loaded.names()  # type: ignore[no-any-return]


def test_a_model_that_a_server_went_on_with_stays_loaded_until_it_does_not(
    settings: Settings, clock: ManualClock
) -> None:
    """The server refused the version after it, so it is neither production nor what was before."""
    fleet.report(settings, fleet.Report("one", "", 1, "c", OLD), clock.now_ms())
    assert in_use(settings, clock.now_ms()).keys() == {OLD, NEW}
    assert unloaded(settings, clock.now_ms()) == {OLD, REFUSED, NEW}
    clock.advance(MINUTE)  # the server is gone
    assert in_use(settings, clock.now_ms()).keys() == {NEW}
    assert unloaded(settings, clock.now_ms()) == {REFUSED, NEW}


def test_of_two_who_change_what_is_loaded_one_waits_and_says_for_whom(settings: Settings, clock: ManualClock) -> None:
    with Ledger(settings, clock).lease(LEASE):
        with pytest.raises(RunInProgress, match="'deploy'"):
            deploy(settings, 6, clock=clock, wait_s=0)
        with pytest.raises(RunInProgress, match="'deploy'"):
            unload(settings, [OLD], clock, wait_s=0)
