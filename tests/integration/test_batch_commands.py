"""What a scheduler sees of `adfeast batch`: one JSON object, an exit code, and silence beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from adfeast.settings import Settings
from cli import exit_codes
from tests.integration.batch_lake import DAYS, FIRST, KEYS, Deployment, deploy
from tests.integration.commands import alone, here

END = FIRST + timedelta(days=DAYS)


@pytest.fixture(scope="module")
def lake(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return deploy(settings, tmp_path_factory.mktemp("commands"), "batch_commands")


@pytest.fixture(scope="module")
def command(lake: Deployment) -> Iterator[Any]:
    """Runs one and gives its exit code and its JSON; nothing may stand on stderr."""
    file = Path(lake.settings.local) / "settings.yaml"
    file.write_text(yaml.safe_dump(json.loads(lake.settings.model_dump_json())))

    def run(*arguments: str, how: Callable[..., tuple[int, str, str]] = here) -> tuple[int, dict[str, Any]]:
        code, said, error = how("batch", *arguments, "--json")
        assert error == ""
        return code, json.loads(said)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADFEAST_SETTINGS", str(file))
        yield run


def test_a_mistyped_year_is_refused(command):
    code, answer = command("materialize", "--until", "2919-11-28", "--since", "2919-11-26")
    assert code == exit_codes.WAITS
    assert answer["error"] == "FutureInterval"
    assert "2919-11-28T00:00:00" in answer["message"]


def test_what_cannot_be_made_yet_waits_and_is_made_later_once(lake, command):
    asked = ("materialize", "--until", END.isoformat(), "--view", "ad_history", "--view", "ad_catalogue")
    code, answer = command(*asked, how=alone)  # with a Spark of its own, which would say much
    found = {o["view"]: (o["status"], o["rows"]) for o in answer["outcomes"]}
    assert (code, found) == (exit_codes.WAITS, {"ad_history": ("waits", 0), "ad_catalogue": ("done", KEYS)})
    lake.archived(END + timedelta(hours=1))
    code, answer = command(*asked)
    assert (code, [o["status"] for o in answer["outcomes"]]) == (exit_codes.DONE, ["done"])
    assert command(*asked) == (exit_codes.DONE, {"outcomes": []})
    code, answer = command("runs", "--view", "ad_history", how=alone)
    [made] = answer["runs"]
    assert (made["job"], made["status"], made["rows"], made["end"]) == ("batch_view", "done", KEYS, END.isoformat())


def test_a_skipped_interval_is_not_made(command):
    asked = ("--view", "user_profile", "--interval", END.isoformat())
    assert command("skip", *asked, "--reason", "not needed")[0] == exit_codes.DONE
    assert command("skip", *asked, "--reason", "not needed")[0] == exit_codes.DONE
    code, answer = command("materialize", "--until", END.isoformat(), "--view", "user_profile")
    assert (code, answer) == (exit_codes.DONE, {"outcomes": []})
    code, answer = command("skip", "--view", "ad_history", "--interval", END.isoformat(), "--reason", "done already")
    assert (code, answer["error"]) == (exit_codes.WAITS, "AlreadyDone")


def test_an_error_has_its_type(command):
    code, answer = command("materialize", "--until", END.isoformat(), "--view", "nobody")
    assert (code, answer["error"]) == (exit_codes.FAILED, "UnknownView")
    assert "user_profile" in answer["message"]
