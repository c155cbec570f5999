"""Kafka of several brokers, each a controller too; with TLS and passwords where a test wants them."""

from __future__ import annotations

import base64
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from adfeast.access import KafkaAccess
from infra.local.errors import NotReady
from infra.local.parts.kafka import CONFIG
from infra.local.platform.home import jars, java, log4j
from serving.clients.kafka import KafkaProducer
from streaming.errors import StreamingError
from streaming.kafka_admin import admin
from tests.cluster.servers import Servers, free_ports

# Later lines win over those of the platform's single broker.
CLUSTERED = """
node.id={node}
controller.quorum.voters={voters}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={safe}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={safe}
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
"""
# The controllers' own port stays as it is: it is nobody's but theirs.
SECURED = """
listeners=SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_SSL://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\\
  org.apache.kafka.common.security.scram.ScramLoginModule required username="{user}" password="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={certificate}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
"""


@dataclass(frozen=True)
class Login:
    """What brokers ask for: the one user there is; a PEM file of their key and certificate, and who signed it."""

    user: str
    password: str
    certificate: Path
    ca: Path


class Kafka:
    """Brokers `kafka_1`, `kafka_2`, ... of servers that end them.

    Attributes:
        bootstrap: all addresses, as `kafka_bootstrap` takes them.
    """

    def __init__(self, servers: Servers, brokers: int, login: Login | None = None) -> None:
        self._servers, self._brokers = servers, brokers
        free = free_ports(2 * brokers)
        ports, controllers = free[:brokers], free[brokers:]
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in ports)
        voters = ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(controllers, 1))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatting = []
        for node, (port, controller) in enumerate(zip(ports, controllers, strict=True), 1):
            data = servers.home.data(f"kafka_{node}")
            data.mkdir(parents=True)
            text = CONFIG.format(port=port, controller=controller, data=data)
            text += CLUSTERED.format(node=node, voters=voters, copies=brokers, safe=min(2, brokers))
            scram = []
            if login:
                text += SECURED.format(port=port, controller=controller, **vars(login))
                scram = ["--add-scram", f"SCRAM-SHA-512=[name={login.user},password={login.password}]"]
            self._config(node).write_text(text)
            tool = [*self._java(), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
            formatting.append(
                subprocess.Popen([*tool, "-c", str(self._config(node)), *scram], stdout=subprocess.DEVNULL)
            )
        assert [process.wait() for process in formatting] == [0] * brokers, "storage cannot be formatted"
        for node in range(1, brokers + 1):
            self.start(node)

    def _config(self, node: int) -> Path:
        return self._servers.home.run / f"kafka_{node}.properties"

    def _java(self) -> list[str]:
        return [java(), "-Xmx384m", "-cp", f"{jars('kafka')}/*", log4j(self._servers.home)]

    def start(self, node: int) -> None:
        """Starts a broker, also one that was killed."""
        self._servers.start(f"kafka_{node}", [*self._java(), "kafka.Kafka", str(self._config(node))])

    def kill(self, node: int) -> None:
        """kill -9."""
        self._servers.kill(f"kafka_{node}")

    def wait(self, access: KafkaAccess | None = None) -> None:
        """Until the cluster names every broker."""

        def check() -> None:
            try:
                with admin(access or KafkaAccess(self.bootstrap), patience_s=5) as client:
                    found = client.describe_cluster()["brokers"]
            except StreamingError as error:
                raise NotReady(str(error)) from error
            if len(found) < self._brokers:
                raise NotReady(f"of {self._brokers} brokers {len(found)} have registered")

        self._servers.wait(f"Kafka has {self._brokers} brokers", check)


async def first_message(producer: KafkaProducer, topic: str) -> None:
    """Until a young cluster takes one: to number idempotent producers it makes a topic first."""
    for _ in range(6):
        if not await producer.send_all(topic, [(b"first", b"message")]):
            return
    raise AssertionError("Kafka takes no message")
