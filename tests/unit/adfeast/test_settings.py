"""Settings come from the environment, then the file; what is unknown or wrong is named."""

import traceback

import pytest

from adfeast.access import KafkaAccess, RedisAccess, mlflow_authorization, triton_authorization
from adfeast.errors import SettingsError
from adfeast.settings import Settings, load_settings


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "settings.yaml"
    path.write_text("")
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


SECRETS = (
    "aws_secret_access_key",
    "kafka_password",
    "redis_password",
    "mlflow_password",
    "mlflow_token",
    "triton_token",
    "forget_key",
)
GIVEN = {"mlflow_password": {"mlflow_username": "us"}}


def everything_said(error: BaseException) -> str:
    """As a log shows it, with what it was caused by."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "text",
    [
        "redis_pasword: hunter2",
        "redis_password: [hunter2]",
        "aws_secret_access_key: {a: hunter2}",
        "kafka_password: hunter2\nkafka_security: SASL_SSL",
        "mlflow_password: hunter2",
        "mlflow_password: hunter2\nmlflow_username: us\nmlflow_token: hunter2",
        "redis_password: 'hunter2",
        "redis_password: hunter2: [",
        "redis_port: redis://us:hunter2@host",
        "hunter2",
    ],
)
def test_a_mistake_does_not_print_a_secret(file, text):
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "hunter2" not in everything_said(refused.value)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_stand_in_a_file_and_is_never_shown(file, tmp_path, monkeypatch, name):
    (tmp_path / "secret").write_text("hunter2, which is long enough\n")
    monkeypatch.setenv(f"ADFEAST_{name.upper()}", f"file:{tmp_path / 'secret'}")
    settings = load_settings(**GIVEN.get(name, {}))
    found = getattr(settings, name)
    assert (found if isinstance(found, str) else found.get_secret_value()) == "hunter2, which is long enough"
    assert "hunter2" not in f"{settings!r} {settings}"
    (tmp_path / "secret").unlink()
    with pytest.raises(SettingsError, match=f"{name}: .*cannot be read from .*secret"):
        load_settings()


def test_a_password_in_an_address_is_not_shown():
    settings = Settings(registry_url="postgresql://us:hunter2@host/db", mlflow_url="http://us:hunter2@host")
    assert "hunter2" not in repr(settings)
    assert "postgresql://us:***@host/db" in repr(settings)


def test_a_settings_file_that_is_not_there_is_named(tmp_path, monkeypatch):
    path = tmp_path / "nowhere.yaml"
    monkeypatch.setenv("ADFEAST_SETTINGS", str(path))
    with pytest.raises(
        SettingsError, match=r"ADFEAST_SETTINGS names .*nowhere\.yaml, which is not there: .*adfeast up"
    ):
        load_settings()
    monkeypatch.setenv("ADFEAST_SETTINGS", "")
    assert load_settings().project == "adfeast"


def test_every_client_is_given_the_login(file):
    file.write_text(
        "tls_ca: /ca.pem\nkafka_security: SASL_SSL\nkafka_username: us\nkafka_password: k\nkafka_bootstrap: kafka:1\n"
        "redis_host: redis\nredis_port: 2\nredis_tls: true\nredis_username: us\nredis_password: r\n"
        "mlflow_username: us\nmlflow_password: m\ntriton_token: t\n"
    )
    settings = load_settings()
    kafka, redis = KafkaAccess.of(settings), RedisAccess.of(settings)
    assert kafka.librdkafka() == {
        "bootstrap.servers": "kafka:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "us",
        "sasl.password": "k",
        "ssl.ca.location": "/ca.pem",
    }
    assert kafka.kafka_python() == {
        "bootstrap_servers": "kafka:1",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "us",
        "sasl_plain_password": "k",
        "ssl_cafile": "/ca.pem",
    }
    login = {"host": "redis", "port": 2, "username": "us", "password": "r"}
    assert redis.redis_py() == login | {"ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert redis.login() == b"*3\r\n$4\r\nAUTH\r\n$2\r\nus\r\n$1\r\nr\r\n"
    assert (mlflow_authorization(settings), triton_authorization(settings)) == ("Basic dXM6bQ==", "Bearer t")
    assert (str(kafka), str(redis)) == ("kafka:1", "redis:2")
    assert "'k'" not in repr(kafka)
    assert "'r'" not in repr(redis)


def test_without_a_login_nothing_is_said(file):
    settings = load_settings()
    assert KafkaAccess.of(settings).librdkafka().keys() == {"bootstrap.servers", "security.protocol"}
    assert RedisAccess.of(settings).redis_py().keys() == {"host", "port"}
    assert RedisAccess.of(settings).login() == b""
    assert mlflow_authorization(settings) == triton_authorization(settings) == ""


@pytest.mark.parametrize("address", ["8080", "localhost", ":80", "localhost:http", "localhost:99999", ""])
def test_an_address_without_host_and_port_is_refused(file, address):
    with pytest.raises(SettingsError, match=r"rest_address: .*must be host:port"):
        load_settings(rest_address=address)


def test_rest_can_be_left_out(file, monkeypatch):
    monkeypatch.setenv("ADFEAST_REST_ADDRESS", "null")
    assert load_settings().rest_address is None
