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


def test_an_age_limit_may_be_taken_away(file, monkeypatch):
    assert load_settings().event_max_age_s == 7 * 86_400
    file.write_text("event_max_age_s: null\n")
    assert load_settings().event_max_age_s is None
    monkeypatch.setenv("ADFEAST_EVENT_MAX_AGE_S", "3600")
    assert load_settings().event_max_age_s == 3600
    monkeypatch.setenv("ADFEAST_EVENT_MAX_AGE_S", "null")
    assert load_settings().event_max_age_s is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("event_max_age_s: 60", "event_max_age_s"),
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
