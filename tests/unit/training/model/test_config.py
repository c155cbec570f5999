"""A training configuration in a file says what is wrong with it by name."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.exit_codes import FAILED, USAGE
from cli.model import model
from training.model.config import TrainConfig, read_config
from training.model.errors import ConfigError


def test_what_a_file_names_is_taken_and_the_rest_has_its_default(tmp_path: Path) -> None:
    yaml, plain, empty = tmp_path / "a.yaml", tmp_path / "a.json", tmp_path / "empty.yaml"
    yaml.write_text("batch_size: 64  # small\nridges: [1, 10]\nover_layers: [16, 8]\n")
    plain.write_text(json.dumps({"batch_size": 64, "ridges": [1, 10], "over_layers": [16, 8]}))
    empty.write_text("")
    expected = TrainConfig(batch_size=64, ridges=(1.0, 10.0), over_layers=(16, 8))
    assert read_config(yaml) == read_config(plain) == expected
    assert read_config(empty) == TrainConfig()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("batch_sise: 64", r"batch_sise: Extra inputs.*got 64 \(the keys are fractions, .*batch_size"),
        ("dim: 6\nmax_epochs: none", r"dim: .*multiple of 4, got 6; max_epochs: .*got 'none'"),
        ("fractions: [0.6, 0.6, 0.2]", "fractions must be 3 shares that sum to 1"),
        ("ridges: [1, -5]", r"ridges\.1: .*greater than 0, got -5"),
        ("- 1\n- 2", "must hold keys and values, holds list"),
        ("a: [", "is not readable"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"(?s){file}.*{says}"):
        read_config(file)


def test_the_command_takes_model_service_and_configuration(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("batch_sise: 64")
    asked = ["train", "--training-set", str(tmp_path), "--out", str(tmp_path / "out"), "--service", "s", "--json"]
    answer = CliRunner().invoke(model, [*asked, "--model", "lr", "--config", str(file)])
    assert answer.exit_code == FAILED
    assert json.loads(answer.stdout)["error"] == "ConfigError"
    assert "batch_sise" in answer.stdout
    assert CliRunner().invoke(model, [*asked, "--model", "forest"]).exit_code == USAGE
    assert CliRunner().invoke(model, [*asked, "--config", str(tmp_path / "none.yaml")]).exit_code == USAGE
