"""TLS and passwords against servers that insist on them: who has them works, who has not is told which setting."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.access import KafkaAccess, RedisAccess
from adfeast.clock import SystemClock
from adfeast.contract.rows import Layout, record_layouts
from adfeast.contract.topics import features_topic, topics, writer_group
from adfeast.feast_ext.online_layout import redis_field, redis_key
from adfeast.settings import Settings
from serving.clients.kafka import KafkaProducer
from serving.errors import StoreUnavailable
from serving.features.redis_cluster import redis_tier
from streaming.errors import StreamingError
from streaming.kafka_admin import committed_offsets, end_offsets, ensure_topics
from streaming.redis_writer.cluster import open_store
from streaming.redis_writer.writer import RedisWriter
from tests.cluster.certificates import Certificates, make_certificates
from tests.cluster.kafka import Kafka, Login
from tests.cluster.servers import Servers
from tests.cluster.valkey import secured_valkey
from tests.unit.streaming.jobs.test_sql import definitions

USER, PASSWORD, WRONG = "adfeast", "correct-horse-battery", "hunter2-hunter2"
PROJECT = "secured"
VIEW = definitions().views["shop_bids"]
LAYOUT = Layout.of(VIEW)
DEFINITIONS = replace(definitions(), project=PROJECT, views={VIEW.name: VIEW})
TOPIC = features_topic(PROJECT, VIEW.name)
AT = 1_574_500_000_000
KEYS = [f"shop {n}" for n in range(50)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def settings(
    servers: Servers, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Of a deployment whose Kafka and Redis know one user."""
    home = tmp_path_factory.mktemp("home")
    kafka = Kafka(servers, 1, Login(USER, PASSWORD, certificates.server, certificates.ca))
    with secured_valkey(servers, USER, PASSWORD, certificates.server) as port:
        made = Settings(
            project=PROJECT,
            local=home,
            registry_url=f"sqlite:///{home}/registry.db",
            tls_ca=certificates.ca,
            kafka_bootstrap=kafka.bootstrap,
            kafka_security="SASL_SSL",
            kafka_username=USER,
            kafka_password=PASSWORD,
            redis_port=port,
            redis_tls=True,
            redis_username=USER,
            redis_password=PASSWORD,
        )
        kafka.wait(KafkaAccess.of(made))
        yield made


@contextmanager
def writing(settings: Settings) -> Iterator[None]:
    """A writer in a thread of this process."""
    stop = threading.Event()
    writer = RedisWriter(settings, lambda: DEFINITIONS, SystemClock())
    running = threading.Thread(target=writer.run, args=(stop,))
    running.start()
    try:
        yield
    finally:
        stop.set()
        running.join(30)


def send(settings: Settings, *messages: tuple[bytes, bytes]) -> list[str]:
    producer = KafkaProducer(KafkaAccess.of(settings), linger_ms=1)
    try:
        return asyncio.run(producer.send_all(TOPIC, messages))
    finally:
        producer.close(0.1)


def read(settings: Settings, keys: list[str]) -> list[float | None]:
    """The first feature of each key, as the prediction server's reader gets it."""
    field = redis_field(VIEW.name, VIEW.features[0].name)
    names = [redis_key(VIEW.join_key, key, PROJECT) for key in keys]
    commands = [b"*3\r\n$5\r\nHMGET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(n), n, len(field), field) for n in names]

    async def run() -> list[bytes | None]:
        tier = redis_tier(RedisAccess.of(settings))
        try:
            return await tier.receive(tier.send(commands))
        finally:
            tier.close()

    values = [None if value is None else Value.FromString(value) for value in asyncio.run(run())]
    return [None if value is None else getattr(value, value.WhichOneof("val")) for value in values]


def test_what_is_sent_with_a_password_is_written_and_read_with_one(settings: Settings) -> None:
    record_layouts(settings, DEFINITIONS.views.values())
    kafka = KafkaAccess.of(settings)
    ensure_topics(kafka, topics(DEFINITIONS, settings))
    rows = [(key.encode(), LAYOUT.encode(AT, [n for _ in VIEW.features])) for n, key in enumerate(KEYS)]
    assert send(settings, *rows) == []
    with writing(settings):
        until = time.monotonic() + 60
        while committed_offsets(kafka, writer_group(PROJECT), [TOPIC]) != end_offsets(kafka, [TOPIC]):
            assert time.monotonic() < until, "the writer has not committed what was sent"
            time.sleep(0.2)
    assert read(settings, [*KEYS, "nobody"]) == [*range(len(KEYS)), None]


NAMED = "kafka_username and kafka_password"


def test_kafka_refuses_a_wrong_password_and_the_setting_is_named(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = settings.model_copy(update={"kafka_password": type(settings.kafka_password)(WRONG)})
    with pytest.raises(StreamingError, match=NAMED) as refused:
        end_offsets(KafkaAccess.of(wrong), [TOPIC])
    [problem] = send(wrong, (b"key", b"value"))
    assert NAMED in problem
    with pytest.raises(StreamingError, match=NAMED):
        RedisWriter(wrong, lambda: DEFINITIONS, SystemClock()).run(threading.Event())
    assert WRONG not in f"{refused.value} {problem} {caplog.text}"


def test_redis_refuses_a_wrong_password_and_the_setting_is_named(settings: Settings) -> None:
    named = "redis_username and redis_password"
    wrong = settings.model_copy(update={"redis_password": type(settings.redis_password)(WRONG)})
    with pytest.raises(StoreUnavailable, match=named) as refused:
        read(wrong, KEYS)
    with pytest.raises(redis.ConnectionError, match=named) as not_connected:
        open_store(wrong).connect()
    assert WRONG not in f"{refused.value} {not_connected.value}"
    nobody = settings.model_copy(update={"redis_password": None})
    with pytest.raises(StoreUnavailable, match="redis_password"):
        read(nobody, KEYS)
    with pytest.raises(redis.ConnectionError, match="redis_password"):
        open_store(nobody).connect()


def test_servers_of_another_authority_are_not_trusted_and_the_setting_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    other = settings.model_copy(update={"tls_ca": make_certificates(tmp_path / "theirs").ca})
    with pytest.raises(StoreUnavailable, match="tls_ca"):
        read(other, KEYS)
    with pytest.raises(redis.ConnectionError, match="tls_ca"):
        open_store(other).connect()
    with pytest.raises(StreamingError, match="tls_ca"):
        end_offsets(KafkaAccess.of(other), [TOPIC])
    [problem] = send(other, (b"key", b"value"))
    assert "tls_ca" in problem
