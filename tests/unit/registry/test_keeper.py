"""A dead model is loaded again; where that does not help Triton is started again; nobody is healed by two at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from adfeast import fleet
from adfeast.clock import ManualClock
from adfeast.contract.signature import Input, Signature
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from registry.errors import DeployFailed
from registry.keeper import FAILURES, LONGEST_RETRY_MS, SETTLE_MS, Keeper, last_look
from registry.triton import Probe
from registry.unload import LEASE

SIGNATURE = Signature("s", (Input("a", "v", "ad", "dense", "float32"),))
NAMES = ("ctr-000001-onnx", "ctr-000002-onnx")


class FakeTriton:
    """Both patiences of one Triton.

    Attributes:
        dead, wrong: names of models that do not answer, or answer otherwise than was exported.
        stubborn: loading does not help.
        calls: what changed something.
    """

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.wrong: set[str] = set()
        self.stubborn = self.gone = self.stalled = False
        self.calls: list[tuple[str, str]] = []

    def _fail(self, cause: Exception) -> None:
        raise DeployFailed("it does not answer") from cause

    def ready(self, name: str) -> bool:
        if self.gone:
            self._fail(ConnectionRefusedError())
        if self.stalled:
            self._fail(TimeoutError())
        return True

    def prove(self, name: str, probe: Probe) -> None:
        self.ready(name)
        if name in self.dead:
            self._fail(OSError("stub process is not healthy"))
        if name in self.wrong:
            raise DeployFailed("answers 0.1 where 0.2 was exported")

    def unload(self, name: str) -> bool:
        self.calls.append(("unload", name))
        return True

    def load(self, name: str) -> None:
        self.calls.append(("load", name))
        if not self.stubborn:
            self.dead.discard(name)

    def restart(self) -> None:
        self.calls.append(("restart", ""))
        self.dead.clear()
        self.stalled = False


class Kept:
    def __init__(self, settings: Settings, *, restarts: bool = True) -> None:
        self.clock, self.triton = ManualClock(1_600_000_000_000), FakeTriton()
        for number, name in enumerate(NAMES, 1):
            fleet.set_loaded(settings, fleet.LoadedModel(name, number, "onnx", SIGNATURE, 0))
        fake: Any = self.triton
        self.keeper = Keeper(
            settings,
            self.clock,
            fake.restart if restarts else None,
            lambda model: Probe.any_numbers(model.signature),
            fake,
            fake,
        )

    def look(self, times: int = 1) -> list[str]:
        for _ in range(times):
            found = self.keeper.look()
            self.clock.advance(1_000)
        return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path}/ledger.db"
    return Settings(registry_url=url, ledger_url=url, local=tmp_path)


@pytest.fixture
def kept(settings: Settings) -> Kept:
    return Kept(settings)


def test_a_dead_model_is_loaded_again_and_the_others_are_left_alone(kept: Kept) -> None:
    assert kept.look() == []
    kept.triton.dead = {NAMES[1]}
    [said] = kept.look(FAILURES - 1)
    assert said.startswith(NAMES[1])
    assert kept.triton.calls == []  # it may be in the middle of a deploy
    assert kept.look() == []
    assert kept.triton.calls == [("unload", NAMES[1]), ("load", NAMES[1])]
    assert kept.look() == []


@pytest.mark.parametrize("fault", ["stubborn", "stalled"])
def test_triton_is_started_again_where_loading_does_not_help(kept: Kept, fault: str) -> None:
    kept.triton.dead = {NAMES[0]}
    setattr(kept.triton, fault, True)
    said = kept.look(FAILURES)
    assert "started again" in said[0]
    assert kept.triton.calls.count(("restart", "")) == 1
    assert (("load", NAMES[0]) in kept.triton.calls) == (fault == "stubborn")  # what stands still is not asked to
    assert kept.look() == []


def test_each_attempt_that_fails_makes_the_next_one_wait_longer(settings: Settings) -> None:
    kept = Kept(settings, restarts=False)
    kept.triton.dead, kept.triton.stubborn = {NAMES[0]}, True
    said = [problem for _ in range(600) for problem in kept.look()]
    assert len(said) == 600
    assert any("start Triton again" in problem for problem in said)
    loads = kept.triton.calls.count(("load", NAMES[0]))
    assert 600_000 / LONGEST_RETRY_MS <= loads < 20


def test_a_restarted_triton_has_time_to_load_its_models(kept: Kept) -> None:
    kept.triton.dead, kept.triton.stubborn = {NAMES[0]}, True
    kept.look(FAILURES)
    kept.triton.gone = True
    kept.look(SETTLE_MS // 1000 - 1)
    assert kept.triton.calls.count(("restart", "")) == 1


def test_a_triton_that_is_not_there_is_its_supervisors_matter(kept: Kept) -> None:
    kept.triton.gone = True
    assert len(kept.look(30)) == len(NAMES)
    assert kept.triton.calls == []
    kept.triton.gone = False
    assert kept.look() == []


def test_a_model_that_answers_wrongly_is_loaded_again_but_takes_nobody_else_down(kept: Kept) -> None:
    kept.triton.wrong = {NAMES[0]}
    [said] = kept.look(30)
    assert "where 0.2 was exported" in said
    assert ("load", NAMES[0]) in kept.triton.calls
    assert ("restart", "") not in kept.triton.calls


def test_nothing_is_healed_while_a_deploy_is_at_work(kept: Kept, settings: Settings) -> None:
    kept.triton.dead = {NAMES[0]}
    with Ledger(settings, kept.clock).lease(LEASE):
        assert len(kept.look(5)) == 1
        assert kept.triton.calls == []
    assert kept.look(1) == []


def test_a_model_that_is_unloaded_is_forgotten(kept: Kept, settings: Settings) -> None:
    kept.triton.dead = {NAMES[0]}
    kept.look()
    fleet.forget_loaded(settings, NAMES[0])
    assert kept.look(5) == []
    assert kept.triton.calls == []


def test_what_was_found_stands_in_a_file_that_is_as_old_as_the_look(kept: Kept, settings: Settings) -> None:
    stop = threading.Event()
    stop.set()
    kept.triton.dead = {NAMES[0]}
    kept.keeper.run(stop)
    assert NAMES[0] in last_look(settings.local).read_text()
    kept.triton.dead = set()
    kept.keeper.run(stop)
    assert last_look(settings.local).read_text() == ""
