"""Submits stream jobs to the session cluster: `python -m streaming.jobs.start REQUEST.json`, in the Flink environment.

The request, written by streaming.submit: `{"plan": ..., "start": [{"job": "features", "restore": path or null}, ...]}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

from streaming.jobs.sql import statements


def main(argv: list[str]) -> None:
    """Starts the jobs of the request and returns when the cluster has accepted them."""
    request = json.loads(Path(argv[0]).read_text())
    for start in request["start"]:
        submit(request["plan"], start["job"], start["restore"])


def submit(plan: dict[str, Any], job: str, restore: str | None) -> None:
    """One job, from a checkpoint or savepoint if there is one."""
    settings = (
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(configuration(plan, job, restore))
    )
    environment = TableEnvironment.create(settings.build())
    declare, insert = statements(plan, job)
    for statement in declare:
        environment.execute_sql(statement)
    together = environment.create_statement_set()
    for statement in insert:
        together.add_insert_sql(statement)
    together.execute()


def configuration(plan: dict[str, Any], job: str, restore: str | None) -> Configuration:
    """Flink's options for one job."""
    rest = urlsplit(plan["flink_rest"])
    spec = plan["jobs"][job]
    options = {
        "execution.target": "remote",
        "rest.address": rest.hostname,
        "rest.port": str(rest.port),
        "pipeline.name": f"{spec['name']}@{spec['digest']}",
        "pipeline.jars": plan["function_jar"],
        "parallelism.default": str(plan["parallelism"]),
        "table.local-time-zone": "UTC",
        "execution.buffer-timeout.interval": "20 ms",
        "execution.checkpointing.interval": f"{spec['checkpoint_ms']} ms",
        "execution.checkpointing.dir": f"{plan['checkpoints']}/{job}/{spec['digest']}",
        "execution.checkpointing.savepoint-dir": f"{plan['checkpoints']}/{job}/savepoints",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "1000000",
        "restart-strategy.fixed-delay.delay": "1 s",
    }
    if restore:
        # State that finds no operator must fail the start: ignoring it would read a topic twice.
        options["execution.state-recovery.path"] = restore
    found = Configuration()
    for key, value in options.items():
        found.set_string(key, str(value))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
