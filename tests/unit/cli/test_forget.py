"""`adfeast forget` only looks unless it is told to delete, and its exit code says whether to ask again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import forget as command
from infra.privacy.waiting import horizon_ms
from tests.unit.infra.privacy.small import KEY, LEAVES, Small, make


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    made = make(tmp_path)
    monkeypatch.setattr(command.Deployment, "of", lambda _: made.deployment)
    monkeypatch.setattr(command, "SystemClock", lambda: made.clock)
    return made


def test_it_waits_until_it_is_done_and_says_nobodys_name(small: Small) -> None:
    def said(*options: str) -> tuple[int, str]:
        result = CliRunner().invoke(command.forget, ["--user", LEAVES, *options])
        assert LEAVES not in result.output
        return result.exit_code, result.output

    looked = said()
    assert ("would delete 2 rows of lake events/clicks" in looked[1], looked) == (True, said())
    code, text = said("--apply")
    assert (code, "deleted 2 rows of lake events/clicks" in text, "waits: windows" in text) == (3, True, True)
    small.clock.advance(horizon_ms(small.deployment.definitions, KEY))
    small.streams.ms = small.clock.ms
    code, text = said("--apply", "--json")
    found = json.loads(text)
    assert (code, found["waits"], found["found"], found["passes"]) == (0, [], {}, 2)
    assert found["done"] == "2026-03-01T13:05:00+00:00"
