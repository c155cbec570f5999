"""`adfeast model ...` as people and programs run it: one answer on standard output, nothing on standard error."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from adfeast.contract.model_names import triton_model
from adfeast.settings import Settings
from cli.exit_codes import DONE, USAGE, WAITS


def adfeast(*arguments: object) -> tuple[int, str, str]:
    program = str(Path(sys.executable).with_name("adfeast"))
    done = subprocess.run([program, "model", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def quietly(*arguments: object, code: int = DONE) -> Any:
    """What a command answers as JSON; it must say nothing else."""
    said = adfeast(*arguments, "--json")
    assert (said[0], said[2]) == (code, ""), said
    assert said[1].count("\n") == 1
    return json.loads(said[1])


def test_a_model_goes_into_production_by_commands_that_say_only_what_was_asked(
    settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "prior"
    assert quietly("bootstrap", "--prior", 0.0321, "--out", out)["artifact"] == str(out)
    version = quietly("register", "--artifact", out)["version"]
    code, text, error = adfeast("register", "--artifact", out)
    assert (code, text, error) == (DONE, f"{version}\n", "")
    name = triton_model(version)
    assert quietly("deploy", "--version", version) == {"name": name, "version": version, "flavour": "onnx"}
    listed = quietly("list")
    assert listed["production"] == name
    assert listed["versions"][-1]["version"] == version
    assert quietly("history")["promotions"][-1]["name"] == name
    refused = quietly("unload", "--version", version, code=WAITS)
    assert refused["error"] == "ModelInUse"
    assert name in refused["message"]
    assert adfeast("unload")[0] == USAGE
