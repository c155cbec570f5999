"""Apache Kafka: one broker that is its own KRaft controller."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Callable

from infra.local.errors import NotReady, PlatformError
from infra.local.platform.home import Home, jars, java, log4j
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports
from streaming.errors import StreamingError
from streaming.kafka_admin import admin

# Replayed events are years old and keep their own time, so nothing may expire and no timestamp is out of range.
CONFIG = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}/log
auto.create.topics.enable=false
log.retention.ms=-1
log.message.timestamp.after.max.ms=9223372036854775807
log.cleaner.dedupe.buffer.size=16777216
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=4
"""


def kafka(home: Home, ports: Ports, create_topics: Callable[[], object]) -> Part:
    """`create_topics` runs once the broker answers."""
    port, controller = ports.get("kafka"), ports.get("kafka", "controller")
    data, config, classpath = home.data("kafka"), home.run / "kafka.properties", f"{jars('kafka')}/*"

    def prepare() -> None:
        data.mkdir(parents=True, exist_ok=True)
        config.write_text(CONFIG.format(port=port, controller=controller, data=data))
        if (data / "log" / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = [java(), "-cp", classpath, log4j(home), "kafka.tools.StorageTool"]
        run = subprocess.run(
            [*tool, "format", f"--cluster-id={cluster}", "-c", str(config)], capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise PlatformError(f"Kafka's storage {data} could not be formatted: {run.stdout}{run.stderr}")

    def check() -> None:
        try:
            with admin(f"127.0.0.1:{port}", patience_s=2) as client:
                found = client.describe_cluster()["brokers"]
        except StreamingError as error:
            raise NotReady(str(error)) from error
        if not found:
            raise NotReady("the metadata name no broker")

    return Part(
        name="kafka",
        command=[java(), "-Xmx512m", "-cp", classpath, log4j(home), "kafka.Kafka", str(config)],
        check=check,
        prepare=prepare,
        setup=create_topics,
        address=f"127.0.0.1:{port}",
        settings={"kafka_bootstrap": f"127.0.0.1:{port}"},
    )
