"""Settings come from the environment, then the file; what is unknown or wrong is named."""

import pytest

from adfeast.errors import SettingsError
from adfeast.settings import load_settings


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "settings.yaml"
    monkeypatch.setenv("ADFEAST_SETTINGS", str(path))
    return path


def test_the_environment_wins_over_the_file(file, monkeypatch):
    file.write_text("redis_port: 1\nredis_host: from.file\n")
    monkeypatch.setenv("ADFEAST_REDIS_PORT", "2")
    assert (load_settings().redis_port, load_settings().redis_host) == (2, "from.file")


def test_the_lake_may_be_a_bucket(file):
    assert load_settings(lake="s3://bucket/prefix/").lake_path("events", "clicks") == "s3://bucket/prefix/events/clicks"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("redis_prot: 1", "redis_prot"),
        ("redis_port: six", "redis_port"),
        ("a: [", "YAML"),
        ("replay_speed: 0", "replay_speed"),
        ("replay_speed: .inf", "replay_speed"),
        ("metrics_port: 70000", "metrics_port"),
    ],
)
def test_a_wrong_setting_is_named_with_the_file(file, text, named):
    file.write_text(text)
    with pytest.raises(SettingsError, match=named) as refused:
        load_settings()
    assert str(file) in str(refused.value)
