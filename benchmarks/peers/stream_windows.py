# mypy: disallow-subclassing-any=False
"""The same windows as a team would write them: a PyFlink DataStream job, and tumbling tiles in SQL.

`python -m benchmarks.peers.stream_windows REQUEST.json`, in the Flink environment. The request: `{"plan", "job",
"peer", "name", "parallelism", "checkpoint_ms", "views": [{"key", "topic"}]}`. Both read the events by our own decoder,
the cheapest there is, and write JSON to Kafka.

- `tiles`: counts by key in 10 s tiles, as SQL's TUMBLE gives them. They are no windows yet: a reader would have to add
  30 of them, or 360, and nothing is known about repeated ids.
- `datastream`: a KeyedProcessFunction in Python with the two counts and the session of the user's view, ids remembered
  and expiries by timers. Events out of order make no session longer.
"""

# ruff: noqa: S608 (the SQL is made of names of this file and of the plan)

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyflink
from pyflink.common import Configuration, Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor
from pyflink.table import EnvironmentSettings, Schema, StreamTableEnvironment

from streaming.jobs.sql import Plan, statements

# The cluster runs jobs in SQL and Java otherwise.
[PYTHON_JAR] = (Path(pyflink.__file__).parent / "opt").glob("flink-python-*.jar")
TILE, MINUTE, SHORT, LONG, GAP = 10_000, 60_000, 300_000, 3_600_000, 1_800_000
OUTPUT = Types.ROW_NAMED(
    ["entity", "at_ms", "short", "long", "session"],
    [Types.STRING(), Types.LONG(), Types.LONG(), Types.LONG(), Types.LONG()],
)


class Windows(KeyedProcessFunction):
    """Two sawtooth counts and a session for a key."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Declares the state."""
        self.tiles = runtime_context.get_map_state(MapStateDescriptor("tiles", Types.LONG(), Types.LONG()))
        self.seen = runtime_context.get_map_state(MapStateDescriptor("seen", Types.STRING(), Types.LONG()))
        self.session = runtime_context.get_state(
            ValueStateDescriptor("session", Types.TUPLE([Types.LONG(), Types.LONG()]))
        )

    def process_element(self, value: Row, ctx: Any) -> Iterator[Row]:
        """An event: `entity, event_id, ts`."""
        if self.seen.contains(value[1]):
            return
        ms = ctx.timestamp()
        self.seen.put(value[1], ms)
        tile = ms // TILE * TILE
        self.tiles.put(tile, (self.tiles.get(tile) or 0) + 1)
        last, count = self.session.value() or (0, 0)
        self.session.update((max(last, ms), count + 1 if ms - last <= GAP else 1))
        for at in (tile + SHORT, ms // MINUTE * MINUTE + LONG, ms + GAP + 1):
            ctx.timer_service().register_event_time_timer(at)
        yield self._row(value[0], max(last, ms))

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[Row]:
        """Something leaves a window."""
        for tile in [t for t, _ in self.tiles.items() if t < timestamp - LONG - MINUTE]:
            self.tiles.remove(tile)
        for identity in [i for i, ms in self.seen.items() if ms + LONG <= timestamp]:
            self.seen.remove(identity)
        yield self._row(ctx.get_current_key(), timestamp)

    def _row(self, entity: str, ms: int) -> Row:
        short = (ms // TILE + 1) * TILE - SHORT
        long = (ms // MINUTE + 1) * MINUTE - LONG
        tiles = [(t, n) for t, n in self.tiles.items() if t <= ms]
        last, count = self.session.value() or (0, 0)
        return Row(
            entity,
            ms,
            sum(n for t, n in tiles if t >= short),
            sum(n for t, n in tiles if t >= long),
            count if ms - last <= GAP else 0,
        )


def main(argv: list[str]) -> None:
    """Returns when the cluster has accepted the job."""
    request = json.loads(Path(argv[0]).read_text())
    plan: Plan = request["plan"]
    made = _configuration(request)
    environment = StreamExecutionEnvironment.get_execution_environment(made)
    # Told of the cluster too: without it the statements would start one of their own.
    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(made)
    tables = StreamTableEnvironment.create(environment, settings.build())
    for declare in statements(plan, request["job"])[0]:
        if declare.startswith("CREATE TEMPORARY SYSTEM FUNCTION") or "TABLE `impressions` " in declare:
            tables.execute_sql(declare)
    together = tables.create_statement_set()
    for view in request["views"]:
        sink = f"sink {view['topic']}"
        columns = "`entity` STRING, `at_ms` BIGINT, `short` BIGINT, `long` BIGINT, `session` BIGINT"
        tables.execute_sql(
            f"CREATE TEMPORARY TABLE `{sink}` ({columns}) WITH ('connector' = 'kafka', 'topic' = '{view['topic']}', "
            f"'properties.bootstrap.servers' = '{plan['kafka']}', 'key.format' = 'raw', 'key.fields' = 'entity', "
            "'value.format' = 'json', 'sink.delivery-guarantee' = 'at-least-once')"
        )
        event = f"event.{view['key']} AS entity, event.event_id AS event_id"
        if request["peer"] == "tiles":
            tables.execute_sql(
                f"CREATE TEMPORARY VIEW `e {view['topic']}` AS SELECT {event}, ts FROM impressions "
                "WHERE event.event_id IS NOT NULL"
            )
            together.add_insert_sql(
                f"INSERT INTO `{sink}` SELECT entity, "
                "CAST(1000 AS BIGINT) * TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', window_start), "
                "COUNT(*), 0, 0 "
                f"FROM TABLE(TUMBLE(TABLE `e {view['topic']}`, DESCRIPTOR(ts), INTERVAL '10' SECOND)) "
                "GROUP BY entity, window_start, window_end"
            )
        else:
            events = tables.sql_query(f"SELECT {event}, ts FROM impressions WHERE event.event_id IS NOT NULL")
            values = tables.to_data_stream(events).key_by(lambda e: e[0], Types.STRING()).process(Windows(), OUTPUT)
            types = {"entity": "STRING"} | dict.fromkeys(("at_ms", "short", "long", "session"), "BIGINT")
            schema = Schema.new_builder()
            for name, kind in types.items():
                schema.column(name, kind)
            together.add_insert(f"`{sink}`", tables.from_data_stream(values, schema.build()))
    together.execute()


def _configuration(request: dict[str, Any]) -> Configuration:
    plan, rest = request["plan"], urlsplit(request["plan"]["flink_rest"])
    options = {
        "execution.target": "remote",
        "rest.address": rest.hostname,
        "rest.port": str(rest.port),
        "pipeline.name": request["name"],
        "pipeline.jars": f"{plan['function_jar']};{PYTHON_JAR.as_uri()}",
        "parallelism.default": str(request["parallelism"]),
        "table.local-time-zone": "UTC",
        "execution.buffer-timeout.interval": "20 ms",
        "execution.checkpointing.interval": f"{request['checkpoint_ms']} ms",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
    }
    found = Configuration()
    for key, value in options.items():
        found.set_string(key, str(value))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
