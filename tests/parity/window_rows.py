"""Runs the window view of a plan over a file and prints its rows as JSON lines; in the Flink environment.

`python -m tests.parity.window_rows REQUEST.json`: `{"plan", "events": file of JSON lines, "columns": the event's SQL,
"options": Flink's}`.
A line of events is `{"message": base64, "event": {...}, "ms"}`, as the job's source would give it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

from streaming.jobs.sql import statements


def main(argv: list[str]) -> None:
    """Returns when the file has been read and all time has passed."""
    request = json.loads(Path(argv[0]).read_text())
    plan = request["plan"]
    options = Configuration()
    own = {"pipeline.jars": plan["function_jar"], "parallelism.default": "1", "pipeline.object-reuse": "true"}
    for key, value in {**own, **request["options"]}.items():
        options.set_string(key, value)
    tables = TableEnvironment.create(
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(options).build()
    )
    (view,) = plan["views"]
    (job,) = (name for name, spec in plan["jobs"].items() if "view" in spec)
    delay = f"INTERVAL '{plan['watermark_delay_ms'] // 1000}' SECOND"
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE `{view['topic']}` (message BYTES, event {request['columns']}, ms BIGINT, "
        f"ts AS TO_TIMESTAMP_LTZ(ms, 3), WATERMARK FOR ts AS ts - {delay}) "
        f"WITH ('connector' = 'filesystem', 'path' = '{request['events']}', 'format' = 'json')"
    )
    for statement in statements(plan, job)[0]:
        if "FUNCTION" in statement.split("'")[0] or statement.startswith("CREATE TEMPORARY VIEW"):
            tables.execute_sql(statement)
    rows = tables.execute_sql(f"SELECT entity_key, kind, event_id, at_ms, amounts FROM `windows {view['name']}`")
    with rows.collect() as found:
        for row in found:
            sys.stdout.write(json.dumps(list(row)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
