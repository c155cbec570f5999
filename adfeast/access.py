"""Who we are to Kafka, Redis, MLflow and Triton and whether we trust them: the settings, as each client wants them."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from adfeast.settings import Settings


@dataclass(frozen=True)
class KafkaAccess:
    """A Kafka cluster; as text only its address."""

    bootstrap: str
    security: str = "PLAINTEXT"
    mechanism: str = ""
    username: str = ""
    password: SecretStr | None = None
    ca: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> KafkaAccess:
        """The cluster of a deployment."""
        return cls(
            settings.kafka_bootstrap,
            settings.kafka_security,
            settings.kafka_mechanism,
            settings.kafka_username,
            settings.kafka_password,
            settings.tls_ca,
        )

    def __str__(self) -> str:
        return self.bootstrap

    @property
    def _sasl(self) -> bool:
        return self.security.startswith("SASL")

    def refused(self, why: object) -> str:
        """What the cluster says to who may not come in, with the settings that it is about."""
        return f"Kafka at {self} refuses kafka_username and kafka_password ({self.mechanism}): {why}"

    def failed(self, why: object) -> str:
        """What went wrong with the cluster; with the settings that it may be about, where a client does not know."""
        about = [] if self.security == "PLAINTEXT" else [f"kafka_security={self.security}"]
        if self._sasl:
            about.append("kafka_username and kafka_password")
        if self.security.endswith("SSL"):
            about.append(f"tls_ca={self.ca}")
        settings = f" ({', '.join(about)})" if about else ""
        return f"Kafka at {self}{settings}: {why}"

    def librdkafka(self) -> dict[str, Any]:
        """What a producer or consumer of confluent-kafka is configured with."""
        config: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "security.protocol": self.security}
        if self._sasl:
            config |= {"sasl.mechanism": self.mechanism, "sasl.username": self.username}
            config["sasl.password"] = _plain(self.password)
        if self.security.endswith("SSL") and self.ca:
            config["ssl.ca.location"] = str(self.ca)
        return config

    def kafka_python(self) -> dict[str, Any]:
        """The same for kafka-python."""
        config: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.security}
        if self._sasl:
            config |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.username}
            config["sasl_plain_password"] = _plain(self.password)
        if self.security.endswith("SSL") and self.ca:
            config["ssl_cafile"] = str(self.ca)
        return config


@dataclass(frozen=True)
class RedisAccess:
    """A Redis server, or a node of a cluster that leads to the others; as text only its address."""

    host: str
    port: int
    username: str = ""
    password: SecretStr | None = None
    tls: bool = False
    ca: Path | None = None
    cluster: bool = False

    @classmethod
    def of(cls, settings: Settings) -> RedisAccess:
        """The server of a deployment."""
        return cls(
            settings.redis_host,
            settings.redis_port,
            settings.redis_username,
            settings.redis_password,
            settings.redis_tls,
            settings.tls_ca,
            settings.redis_cluster,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def redis_py(self) -> dict[str, Any]:
        """What a client of redis-py is made with."""
        found: dict[str, Any] = {"host": self.host, "port": self.port}
        if self.password:
            found |= {"username": self.username or None, "password": _plain(self.password)}
        if self.tls:
            found |= {"ssl": True, "ssl_ca_certs": str(self.ca) if self.ca else None}
        return found

    def client(self, **options: Any) -> Any:
        """A client of redis-py, which finds the master of a key by itself; with more of its options.

        Raises:
            redis.ConnectionError: no node of a cluster answers; one server is asked later.
        """
        import redis  # which those who only ask Kafka or MLflow need not have

        if not self.cluster:
            return redis.Redis(**self.redis_py(), **options)
        try:
            return redis.RedisCluster(**self.redis_py(), **options)
        except redis.exceptions.RedisClusterException as error:  # no RedisError, as all others are
            raise redis.ConnectionError(str(error)) from error

    def login(self) -> bytes:
        """The AUTH command that a connection begins with, answered by OK; empty if it needs none."""
        if not self.password:
            return b""
        words = [b"AUTH", *([self.username.encode()] if self.username else []), _plain(self.password).encode()]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def tls_context(self) -> ssl.SSLContext | None:
        """None without TLS."""
        return ssl.create_default_context(cafile=self.ca) if self.tls else None


def refused_by_redis(where: object, why: object) -> str:
    """What a server says to who may not come in, with the settings that it is about."""
    return f"Redis at {where} refuses redis_username and redis_password: {why}"


def no_redis(where: object, error: OSError) -> str:
    """Why there is no connection; with the settings that it is about where these are known."""
    if isinstance(error, ssl.SSLError):
        return f"no TLS with Redis at {where} (redis_tls, tls_ca): {error}"
    return f"cannot connect to Redis at {where}: {error or 'timeout'}"


def mlflow_authorization(settings: Settings) -> str:
    """The value of the header; empty if there is none."""
    if settings.mlflow_token:
        return f"Bearer {_plain(settings.mlflow_token)}"
    if settings.mlflow_password:
        pair = f"{settings.mlflow_username}:{_plain(settings.mlflow_password)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return ""


def triton_authorization(settings: Settings) -> str:
    """The value of the header; empty if there is none."""
    return f"Bearer {_plain(settings.triton_token)}" if settings.triton_token else ""


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
