"""`adfeast model ...` as people and programs run it: one answer on standard output, nothing on standard error."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adfeast.contract.model_names import triton_model
from adfeast.settings import Settings
from cli.exit_codes import DONE, FAILED, USAGE, WAITS
from registry.incumbent import fetch
from tests.integration.commands import alone, here


def quietly(*arguments: object, code: int = DONE, how: Callable[..., tuple[int, str, str]] = here) -> Any:
    """What a command answers as JSON; it must say nothing else."""
    said = how("model", *arguments, "--json")
    assert (said[0], said[2]) == (code, ""), said
    assert said[1].count("\n") == 1
    return json.loads(said[1])


def test_a_model_goes_into_production_by_commands_that_say_only_what_was_asked(
    settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "prior"
    assert quietly("bootstrap", "--prior", 0.0321, "--out", out)["artifact"] == str(out)
    version = quietly("register", "--artifact", out)["version"]
    code, text, error = alone("model", "register", "--artifact", out)
    assert (code, text, error) == (DONE, f"{version}\n", "")
    name = triton_model(version)
    assert quietly("deploy", "--version", version, how=alone) == {"name": name, "version": version, "flavour": "onnx"}
    listed = quietly("list")
    assert listed["production"] == name
    assert listed["versions"][-1]["version"] == version
    assert quietly("history", how=alone)["promotions"][-1]["name"] == name
    refused = quietly("unload", "--version", version, code=WAITS)
    assert refused["error"] == "ModelInUse"
    assert name in refused["message"]
    assert here("model", "unload")[0] == USAGE


def test_a_version_that_is_not_shown_to_be_as_good_is_registered_and_deployed_only_by_force(
    settings: Settings, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    quietly("bootstrap", "--prior", 0.0323, "--out", first)
    serving = quietly("deploy", "--version", quietly("register", "--artifact", first)["version"])["name"]
    with TemporaryDirectory() as folder:
        assert fetch(settings, Path(folder)) == serving
        assert (Path(folder) / "model_repository" / "onnx" / "1" / "model.onnx").is_file()
    shutil.copytree(first, second)
    metrics = json.loads((second / "metrics.json").read_text())
    difference = {"value": 0.01, "low": 0.001, "high": 0.02}
    metrics["verdict"] = {
        "incumbent": serving,
        "passes": False,
        "verdict": "worse",
        "reason": f"worse than {serving}",
        "comparison": {"normalized_entropy": difference},
    }
    (second / "metrics.json").write_text(json.dumps(metrics))
    version = quietly("register", "--artifact", second)["version"]
    refused = quietly("deploy", "--version", version, code=FAILED)
    assert refused["error"] == "NotBetter"
    assert f"it is worse than {serving}" in refused["message"]
    listed = quietly("list")
    assert listed["production"] == serving
    assert listed["versions"][-1]["tags"]["verdict"] == "worse"
    name = quietly("deploy", "--version", version, "--force", "the test says so")["name"]
    assert quietly("deploy", "--version", version)["name"] == name  # it serves: repeating changes nothing
    assert quietly("list")["production"] == name
    assert [p["forced"] for p in quietly("history")["promotions"][-2:]] == ["", "the test says so"]
