"""Plans and starts stream jobs: `python -m streaming.jobs.start REQUEST.json`, in the Flink environment.

The request, written by streaming.client: `[{"plan": ..., "job": "features-..."}, ...]`. All its SQL is planned first,
which fails for what the cluster would refuse while whatever runs is untouched; then PLANNED is printed. A line on
standard input says what to start, `[{"plan": ..., "job": ..., "restore": path or null, "id": hex}, ...]`; without one
nothing is started. Each is tried whatever becomes of the others; the id of one that was accepted is printed.
Each comes with the password for Kafka, `kafka_password`, which no file holds (login.py).
"""

from __future__ import annotations

import gc
import json
import sys
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, StatementSet, TableEnvironment
from pyflink.util.exceptions import JavaException

from streaming.jobs import PLANNED, STARTED
from streaming.jobs.login import with_password
from streaming.jobs.sql import statements

# Into so many groups of keys all state is cut: it can be given to any smaller number of subtasks.
MAX_PARALLELISM = 128


def main(argv: list[str]) -> None:
    """Returns when the cluster has accepted the jobs; ends with 1 when it did not accept all."""
    # A collection in the middle of a call to the JVM opens a second connection, whose thread the planner does not know.
    gc.disable()
    for asked in json.loads(Path(argv[0]).read_text()):
        prepare(asked["plan"], asked["job"], {}).explain()
    sys.stdout.write(f"{PLANNED}\n")
    sys.stdout.flush()
    line, failed = sys.stdin.readline(), False
    for start in json.loads(line) if line else []:
        options = {"$internal.pipeline.job-id": start["id"]}
        if start["restore"]:
            # State that finds no operator must fail the start: ignoring it would read a topic twice.
            options["execution.state-recovery.path"] = start["restore"]
        try:
            prepare(with_password(start["plan"], start["kafka_password"]), start["job"], options).execute()
        except (Py4JError, JavaException):
            failed = True
            traceback.print_exc()
        else:
            sys.stdout.write(f"{STARTED}{start['id']}\n")
            sys.stdout.flush()
    if failed:
        sys.exit(1)


def prepare(plan: dict[str, Any], job: str, options: dict[str, str]) -> StatementSet:
    """The statements of one job, with more of Flink's options."""
    made = configuration(plan, job)
    for key, value in options.items():
        made.set_string(key, value)
    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(made)
    environment = TableEnvironment.create(settings.build())
    declare, insert = statements(plan, job)
    for statement in declare:
        environment.execute_sql(statement)
    together = environment.create_statement_set()
    for statement in insert:
        together.add_insert_sql(statement)
    return together


def configuration(plan: dict[str, Any], job: str) -> Configuration:
    """Flink's options for one job."""
    rest = urlsplit(plan["flink_rest"])
    spec = plan["jobs"][job]
    lineage = spec.get("start", {}).get("lineage", 0)
    options = {
        "execution.target": "remote",
        "rest.address": rest.hostname,
        "rest.port": str(rest.port),
        "pipeline.name": f"{spec['name']}@{spec['digest']}.{spec['tuning']}.{lineage}",
        "pipeline.jars": plan["function_jar"],
        "parallelism.default": str(plan["parallelism"]),
        "pipeline.max-parallelism": MAX_PARALLELISM,
        "state.backend.type": plan["state_backend"],
        "execution.checkpointing.incremental": str(plan["state_backend"] == "rocksdb").lower(),
        "table.local-time-zone": "UTC",
        # None of the operators keeps or changes a row that it was given; copies between them cost as much as counting.
        "pipeline.object-reuse": "true",
        "execution.buffer-timeout.interval": "20 ms",
        "execution.checkpointing.interval": f"{spec['checkpoint_ms']} ms",
        "execution.checkpointing.dir": f"{plan['checkpoints']}/{job}/{spec['digest']}/{lineage}",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "1000000",
        "restart-strategy.fixed-delay.delay": "1 s",
    }
    found = Configuration()
    for key, value in options.items():
        found.set_string(key, str(value))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
