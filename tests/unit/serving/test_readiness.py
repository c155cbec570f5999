from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from adfeast.clock import SystemClock
from serving import readiness
from serving.errors import ModelUnavailable
from serving.readiness import Readiness


class Parts:
    """A live value whose model, once there is one, fails some times before it scores."""

    def __init__(self, failures: int) -> None:
        self.failures, self.reads, self.scores = failures, 0, 0
        self.answers: Any = None

    @property
    def live(self) -> Any:
        plan = SimpleNamespace(request=SimpleNamespace(columns=()))
        return SimpleNamespace(answers=self.answers, reader=self, plan=plan)

    async def read(self, *_: object) -> Any:
        self.reads += 1
        return SimpleNamespace(tensors="tensors")

    async def score(self, _model: object, _tensors: object) -> None:
        self.scores += 1
        if self.scores <= self.failures:
            raise ModelUnavailable("Triton does not answer")


def deployed() -> Any:
    return SimpleNamespace(model="model", selection=SimpleNamespace(take=lambda tensors: tensors))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PAUSE_S", 0.0)
    monkeypatch.setattr(readiness, "Rows", lambda *_: None)


async def proven(parts: Parts) -> bool:
    task = asyncio.create_task(Readiness(lambda: parts.live, parts, SystemClock()).proven())  # type: ignore[arg-type]
    done, _ = await asyncio.wait([task], timeout=0.2)
    task.cancel()
    return bool(done)


def test_without_a_model_nothing_is_proven() -> None:
    assert not asyncio.run(proven(Parts(failures=0)))


def test_it_is_proven_by_a_row_that_was_scored() -> None:
    parts = Parts(failures=3)
    parts.answers = deployed()
    assert asyncio.run(proven(parts))
    assert (parts.reads, parts.scores) == (4, 4)


def test_a_model_that_never_scores_proves_nothing() -> None:
    parts = Parts(failures=10**9)
    parts.answers = deployed()
    assert not asyncio.run(proven(parts))
