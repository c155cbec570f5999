"""A Spark standalone cluster of one master and two workers, from the jars of the installed pyspark."""

from __future__ import annotations

import json
from pathlib import Path

import pyspark

from infra.local.errors import NotReady
from infra.local.platform.home import java, log4j
from infra.local.platform.web import ask
from tests.cluster.servers import Servers, free_ports

WORKERS = 2
PACKAGE = Path(pyspark.__file__).parent
HOST = "127.0.0.1"


class Spark:
    """Of servers that run already: started here, ended with them.

    Attributes:
        settings: of a deployment whose batch jobs run here, one core and one executor a worker.
    """

    def __init__(self, servers: Servers) -> None:
        port, ui, *more = free_ports(2 + WORKERS)
        self._ui = f"http://{HOST}:{ui}"
        master = f"spark://{HOST}:{port}"
        environment = {"SPARK_HOME": str(PACKAGE), "SPARK_LOCAL_IP": HOST, "SPARK_SCALA_VERSION": "2.13"}
        command = [java(), "-Xmx256m", log4j(servers.home), "-cp", f"{PACKAGE}/jars/*"]
        where = ["--host", HOST, "--port", str(port), "--webui-port", str(ui)]
        servers.start("spark_master", [*command, "org.apache.spark.deploy.master.Master", *where], environment)
        for number, web in enumerate(more, 1):
            folder = servers.home.data(f"spark_worker_{number}")
            folder.mkdir(parents=True)
            sizes = ["--host", HOST, "--webui-port", str(web), "--cores", "1", "--memory", "1g"]
            servers.start(
                f"spark_worker_{number}",
                [*command, "org.apache.spark.deploy.worker.Worker", *sizes, "--work-dir", str(folder), master],
                environment | {"SPARK_LOCAL_DIRS": str(folder / "spills")},
            )
        servers.wait(f"Spark has {WORKERS} workers", self._whole)
        self.settings: dict[str, object] = {
            "spark_master": master,
            "spark_driver_host": HOST,
            "spark_executor_memory": "768m",
            "spark_executor_cores": 1,
            "spark_max_cores": WORKERS,
        }

    def _whole(self) -> None:
        if self._state()["aliveworkers"] < WORKERS:
            raise NotReady("a worker has not registered")

    def _state(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(ask(f"{self._ui}/json/"))
        return found

    def executors(self, servers: Servers) -> list[set[str]]:
        """Which applications each worker has run, by their folders."""
        return [{p.name for p in servers.home.data(f"spark_worker_{n}").glob("app-*")} for n in range(1, WORKERS + 1)]
