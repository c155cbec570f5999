"""Feast's own clients log in to Redis as the platform's do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from feast.infra.online_stores.redis import RedisOnlineStore

from adfeast.access import RedisAccess
from adfeast.errors import SettingsError
from adfeast.feast_ext.two_tier import redis_config
from adfeast.settings import Settings


def understood(settings: Settings) -> dict[str, Any]:
    """What Feast makes its client with."""
    nodes, found = RedisOnlineStore._parse_connection_string(redis_config(settings).connection_string)
    return {**found, "host": nodes[0]["host"], "port": int(nodes[0]["port"])}


@pytest.mark.parametrize("password", ["hunter2", "12345", "true", 'with = and : and "quotes"', "é"])
def test_feast_understands_what_is_set(password: str) -> None:
    secret: Any = password
    settings = Settings(
        redis_host="h", redis_port=7, redis_username="us", redis_password=secret, redis_tls=True, tls_ca=Path("/ca.pem")
    )
    assert understood(settings) == RedisAccess.of(settings).redis_py()


def test_without_a_login_it_is_an_address() -> None:
    assert redis_config(Settings(redis_host="h", redis_port=7)).connection_string == "h:7"


def test_a_password_that_feast_would_cut_is_refused_without_being_shown() -> None:
    secret: Any = "hunter2,more"
    with pytest.raises(SettingsError, match="redis_password has a comma") as refused:
        redis_config(Settings(redis_password=secret))
    assert "hunter2" not in str(refused.value)
