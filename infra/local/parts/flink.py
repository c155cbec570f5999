"""A Flink session cluster: one JobManager, one TaskManager, run by `java` directly.

The scripts of the wheel start three JVMs before the one that counts, only to compute memory sizes; here they are given.
Everything stands in the command line, so that a changed port is a changed command, which `up` notices.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from infra.local.errors import NotReady
from infra.local.platform.home import Home, jars, java, log4j, site_packages
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports
from infra.local.platform.web import ask

SLOTS = 16  # every view twice, while it is built again beside its former job, and the archive
HEAP_MB, DIRECT_MB, NETWORK_MB = 896, 128, 128


def _options(home: Home, ports: Ports) -> dict[str, object]:
    data = home.data("flink_jobmanager")
    return {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.bind-host": "127.0.0.1",
        "jobmanager.rpc.port": ports.get("flink_jobmanager", "rpc"),
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": ports.get("flink_jobmanager"),
        "io.tmp.dirs": data / "tmp",
        "web.upload.dir": data / "upload",
        "classloader.check-leaked-classloader": "false",
        # A killed TaskManager shows as a refused connection long before the timeout, which spares a busy machine.
        "heartbeat.interval": 1000,
        "heartbeat.timeout": 20000,
        "heartbeat.rpc-failure-threshold": 1,
        # How old the watermarks may be by which a view that is built again takes over; ten seconds unless told.
        "metrics.fetcher.update-interval": 1000,
        # How old an answer of the REST API may be: of a completed checkpoint nobody would hear for three seconds.
        "web.refresh-interval": 500,
        # A busy machine accepts a job in more than the 10 s after which the client would take it for refused.
        "pekko.ask.timeout": "60 s",
        "web.timeout": 60000,
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 1_000_000,
        "restart-strategy.fixed-delay.delay": "1 s",
        "execution.checkpointing.dir": f"file://{data}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"file://{data}/savepoints",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    }


# What the scripts would have computed; the JVM flags below must agree with it.
_TASKMANAGER: dict[str, object] = {
    "taskmanager.host": "127.0.0.1",
    "taskmanager.bind-host": "127.0.0.1",
    # The same name after a restart: the JobManager replaces the lost one at once.
    "taskmanager.resource-id": "local",
    "taskmanager.numberOfTaskSlots": SLOTS,
    "taskmanager.cpu.cores": 4,
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.task.heap.size": f"{HEAP_MB - 128}m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.off-heap.size": f"{DIRECT_MB}m",
    "taskmanager.memory.network.min": f"{NETWORK_MB}m",
    "taskmanager.memory.network.max": f"{NETWORK_MB}m",
    "taskmanager.memory.managed.size": "128m",
    # Managed memory would be divided by the slots, of which most are empty; so RocksDB, if it is chosen, has its own.
    "state.backend.rocksdb.memory.fixed-per-tm": "128m",
    "taskmanager.memory.jvm-metaspace.size": "384m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
}


def _command(home: Home, memory: list[str], main: str, options: dict[str, object]) -> list[str]:
    pyflink = site_packages("flink") / "pyflink"
    opens = yaml.safe_load((pyflink / "conf" / "config.yaml").read_text())["env"]["java"]["opts"]["all"].split()
    config = home.run / "flink"
    config.mkdir(exist_ok=True)
    (config / "config.yaml").write_text("parallelism:\n  default: 1\n")
    values = [arg for key, value in options.items() for arg in ("-D", f"{key}={value}")]
    classpath = f"{jars('flink')}/*:{pyflink}/lib/*"
    return [java(), *memory, *opens, log4j(home), "-cp", classpath, main, "--configDir", str(config), *values]


def _overview(rest: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(ask(f"{rest}/overview"))
    return found


def _folders(data: Path) -> None:
    for name in ("tmp", "upload", "checkpoints", "savepoints"):
        (data / name).mkdir(parents=True, exist_ok=True)


def flink_jobmanager(home: Home, ports: Ports) -> Part:
    """Jobs do not outlive the JobManager: a job that must go on is submitted again from its last checkpoint."""
    rest = f"http://127.0.0.1:{ports.get('flink_jobmanager')}"

    def check() -> None:
        _overview(rest)

    return Part(
        name="flink_jobmanager",
        command=_command(
            home,
            ["-Xmx768m", "-XX:MaxMetaspaceSize=384m"],
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            _options(home, ports),
        ),
        check=check,
        prepare=lambda: _folders(home.data("flink_jobmanager")),
        address=rest,
        ui=rest,
        settings={"flink_rest": rest},
    )


def flink_taskmanager(home: Home, ports: Ports) -> Part:
    """Ready when it has registered with the JobManager."""
    rest = f"http://127.0.0.1:{ports.get('flink_jobmanager')}"

    def check() -> None:
        if not _overview(rest)["taskmanagers"]:
            raise NotReady("no TaskManager has registered")

    direct = DIRECT_MB + NETWORK_MB + 128
    return Part(
        name="flink_taskmanager",
        command=_command(
            home,
            [f"-Xmx{HEAP_MB}m", f"-XX:MaxDirectMemorySize={direct}m", "-XX:MaxMetaspaceSize=384m"],
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            _options(home, ports) | _TASKMANAGER,
        ),
        check=check,
        prepare=lambda: _folders(home.data("flink_jobmanager")),
        address=f"{SLOTS} slots at {rest}",
    )
