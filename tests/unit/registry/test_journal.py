"""Who promoted what is told by MLflow, so that every machine is told the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adfeast.settings import Settings
from registry import journal
from registry.journal import Promotion

FIRST = Promotion(1_000, "ann", 1, "onnx", "ctr-000001-onnx", "", "h1")
SECOND = Promotion(1_000, "ben", 2, "onnx", "ctr-000002-onnx", FIRST.name, "h2")


@pytest.mark.slow
def test_what_one_machine_promotes_another_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    mlflow: Any = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.create_experiment(journal.EXPERIMENT, artifact_location=str(tmp_path / "artifacts"))
    monkeypatch.setattr(journal, "client", lambda _settings: mlflow)
    monkeypatch.setattr(journal, "production", lambda _settings: FIRST.name)
    one, other = (Settings(local=tmp_path / name) for name in ("one", "other"))
    journal.end(one, journal.begin(one, FIRST), 1_001)
    journal.begin(other, SECOND)  # it was killed before production moved
    assert list(journal.promotions(other)) == list(journal.newest_first(one)) == [FIRST]
    monkeypatch.setattr(journal, "production", lambda _settings: SECOND.name)  # or after
    assert list(journal.promotions(one)) == list(journal.newest_first(other))[::-1] == [FIRST, SECOND]
