"""From a plan to Flink SQL: pure functions from data to text. Runs in the Flink environment: standard library only.

Events are read as raw bytes and decoded by our own function, because Flink's avro format ends the job at the first bad
message. A time mark (streaming/marks.py) is a row whose id is NULL: it moves the watermark of its partition.
Events come in the columns of their newest schema, whichever they were written with.
"""

# ruff: noqa: S608 (names and texts of the plan are quoted by _name and _text)

from __future__ import annotations

from typing import Any

Plan = dict[str, Any]

SQL_TYPES = {
    "string": "STRING",
    "int": "INT",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "bytes": "BYTES",
    "timestamp-millis": "TIMESTAMP_LTZ(3)",
    "array<string>": "ARRAY<STRING>",
}
# What a row of the window function is (SawtoothWindows.java).
VALUE, LATE, WATERMARK = 0, 1, 2
FUNCTIONS = [
    "CREATE TEMPORARY SYSTEM FUNCTION decode_event AS 'adfeast.streaming.DecodeEvent'",
    "CREATE TEMPORARY SYSTEM FUNCTION sawtooth_windows AS 'adfeast.streaming.SawtoothWindows'",
    "CREATE TEMPORARY SYSTEM FUNCTION watermark_keys AS 'adfeast.streaming.WatermarkKeys'",
    "CREATE TEMPORARY SYSTEM FUNCTION is_time_mark AS 'adfeast.streaming.IsTimeMark'",
]


def statements(plan: Plan, job: str) -> tuple[list[str], list[str]]:
    """The job `features` or `archive` as (statements that declare, inserts that run together)."""
    return {"features": features, "archive": archive}[job](plan)


def features(plan: Plan) -> tuple[list[str], list[str]]:
    """Per stream view: its values to `features.<view>`, its late events to `late.<view>`."""
    views = plan["views"]
    read = {view["topic"] for view in views}
    declare = FUNCTIONS + [
        _event_source(plan, e, "features", watermark=True) for e in plan["events"] if e["topic"] in read
    ]
    insert = []
    for view in views:
        declare += [_windows(plan, view), _values_sink(plan, view), _late_sink(plan, view)]
        insert += [_insert_values(plan, view), _insert_late(plan, view)]
    return declare, insert


def archive(plan: Plan) -> tuple[list[str], list[str]]:
    """Every event, snapshot and value to Parquet, exactly once; messages that are no events to `<topic>.dead`."""
    declare, insert = list(FUNCTIONS[:1]), []
    for source in plan["events"]:
        topic, columns = source["topic"], _split(source["columns"])
        path = plan["lake"][topic]
        typed = [f"{_name(c)} {SQL_TYPES[t]}" for c, t in columns]
        declare += [
            _event_source(plan, source, "archive", watermark=False),
            _lake_sink(topic, path, typed, plan["envelope"]["time"]),
            _dead_sink(plan, source["dead"]),
        ]
        taken = ", ".join(f"event.{_name(c)}" for c, _ in columns)
        first = f"event.{_name(columns[0][0])}"
        insert += [
            f"INSERT INTO {_name('lake ' + topic)} SELECT {taken} FROM {_name(topic)} WHERE {first} IS NOT NULL",
            f"INSERT INTO {_name(source['dead'])} SELECT message, {_dead_headers(topic)} "
            f"FROM {_name(topic)} WHERE event IS NULL",
        ]
    for view in plan["views"]:
        topic, time = view["output"], _name(plan["envelope"]["time"])
        typed = [f"{_name(view['join_key'])} STRING", *_feature_columns(view)]
        times = [f"{time} TIMESTAMP_LTZ(3)", "created_timestamp TIMESTAMP_LTZ(3)"]
        declare += [
            f"CREATE TEMPORARY TABLE {_name(topic)} ({', '.join(typed)}, {time} BIGINT, "
            f"written TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL) WITH ("
            + _options(
                _kafka_source(plan, topic, "archive", "group-offsets")
                | {"format": "json", "json.ignore-parse-errors": "true"}
            )
            + ")",
            _lake_sink(topic, plan["lake"][topic], [*typed, *times], plan["envelope"]["time"]),
        ]
        names = ", ".join([_name(view["join_key"]), *(_name(f["name"]) for f in view["features"])])
        insert.append(
            f"INSERT INTO {_name('lake ' + topic)} SELECT {names}, TO_TIMESTAMP_LTZ({time}, 3), written "
            f"FROM {_name(topic)} WHERE {time} IS NOT NULL"
        )
    return declare, insert


def _event_source(plan: Plan, event: Plan, job: str, *, watermark: bool) -> str:
    topic = event["topic"]
    decoded = f"decode_event(message, written, {_text(event['columns'])}, {_text(event['writers'])})"
    time, extra, start = plan["envelope"]["time"], "", "group-offsets"
    options = {"format": "raw"}
    if watermark:
        # Without a checkpoint the state is built again from all events; messages that are none have no time.
        start = "earliest-offset"
        options["scan.watermark.idle-timeout"] = f"{plan['idle_timeout_ms']} ms"
        seconds, millis = divmod(plan["watermark_delay_ms"], 1000)
        extra = (
            f", ts AS COALESCE({decoded}.{_name(time)}, TO_TIMESTAMP_LTZ(0, 3)), "
            f"WATERMARK FOR ts AS ts - INTERVAL '0 00:{seconds // 60:02}:{seconds % 60:02}.{millis:03}' "
            "DAY TO SECOND(3)"
        )
    return (
        f"CREATE TEMPORARY TABLE {_name(topic)} (message BYTES, "
        "written TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, "
        "`partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL, "
        f"event AS {decoded}{extra}) WITH ({_options(_kafka_source(plan, topic, job, start) | options)})"
    )


def _windows(plan: Plan, view: Plan) -> str:
    amounts = ", ".join(["CAST(1 AS DOUBLE)", *(f"CAST(event.{_name(a)} AS DOUBLE)" for a in view["amounts"])])
    identity, topic = f"event.{_name(plan['envelope']['id'])}", _name(view["topic"])
    # Marks are fanned out in a branch of their own, so that the events need not pass through the fan. A key of theirs
    # takes the way of the values: to a subtask, to a partition.
    return (
        f"CREATE TEMPORARY VIEW {_name('windows ' + view['name'])} AS "
        "WITH e AS (SELECT "
        f"event.{_name(view['join_key'])} AS entity_key, {identity} AS event_id, ARRAY[{amounts}] AS amounts, ts "
        f"FROM {topic} WHERE {identity} IS NOT NULL "
        "UNION ALL SELECT mark, CAST(NULL AS STRING), CAST(NULL AS ARRAY<DOUBLE>), ts "
        f"FROM (SELECT ts FROM {topic} WHERE is_time_mark(message) AND event IS NOT NULL), "
        f"LATERAL TABLE(watermark_keys({plan['watermark_keys']})) AS marks(mark)) "
        "SELECT * FROM sawtooth_windows(events => TABLE e PARTITION BY entity_key, "
        f"spec => {_text(_spec(plan, view))}, on_time => DESCRIPTOR(ts), uid => {_text(view['name'])})"
    )


def _spec(plan: Plan, view: Plan) -> str:
    """What the window function is told (WindowSpec.java)."""
    options = {"emit": plan["emit_ms"], "from": view["emit_from_ms"], "delay": plan["watermark_delay_ms"]}
    return ";".join([view["spec"], *(f"{name}={ms}" for name, ms in options.items() if ms)])


def _values_sink(plan: Plan, view: Plan) -> str:
    columns = ", ".join(
        [f"{_name(view['join_key'])} STRING", f"{_name(plan['envelope']['time'])} BIGINT", *_feature_columns(view)]
    )
    options = _options(_kafka_sink(plan, view, "output"))
    return f"CREATE TEMPORARY TABLE {_name(view['output'])} ({columns}) WITH ({options})"


def _late_sink(plan: Plan, view: Plan) -> str:
    identity, time = plan["envelope"]["id"], plan["envelope"]["time"]
    columns = f"{_name(view['join_key'])} STRING, {_name(identity)} STRING, {_name(time)} BIGINT"
    return (
        f"CREATE TEMPORARY TABLE {_name(view['late'])} ({columns}) WITH ({_options(_kafka_sink(plan, view, 'late'))})"
    )


def _insert_values(plan: Plan, view: Plan) -> str:
    values = [f"CAST(amounts[{i}] AS {f['type']})" for i, f in enumerate(view["features"], start=1)]
    return (
        f"INSERT INTO {_name(view['output'])} SELECT entity_key, at_ms, {', '.join(values)} "
        f"FROM {_name('windows ' + view['name'])} WHERE kind = {VALUE}"
    )


def _insert_late(plan: Plan, view: Plan) -> str:
    return (
        f"INSERT INTO {_name(view['late'])} SELECT entity_key, event_id, at_ms "
        f"FROM {_name('windows ' + view['name'])} WHERE kind = {LATE}"
    )


def _feature_columns(view: Plan) -> list[str]:
    return [f"{_name(f['name'])} {f['type']}" for f in view["features"]]


def _lake_sink(topic: str, path: str, columns: list[str], time: str) -> str:
    options = {"connector": "lake", "path": path, "time-column": time}
    return f"CREATE TEMPORARY TABLE {_name('lake ' + topic)} ({', '.join(columns)}) WITH ({_options(options)})"


def _dead_sink(plan: Plan, topic: str) -> str:
    options = _kafka(plan, topic) | {"format": "raw", "sink.delivery-guarantee": "at-least-once"}
    # The largest that the topic takes: the client's own limit would end the job at a large dead letter for ever.
    options["properties.max.request.size"] = plan["topics"][topic]["configs"]["max.message.bytes"]
    return (
        f"CREATE TEMPORARY TABLE {_name(topic)} (message BYTES, headers MAP<STRING, BYTES> METADATA) "
        f"WITH ({_options(options)})"
    )


def _dead_headers(topic: str) -> str:
    values = {
        "reason": _text("not a valid event of this topic, or one from the future"),
        "topic": _text(topic),
        "partition": "CAST(`partition` AS STRING)",
        "offset": "CAST(`offset` AS STRING)",
    }
    return "MAP[" + ", ".join(f"{_text(k)}, ENCODE({v}, 'UTF-8')" for k, v in values.items()) + "]"


def _kafka(plan: Plan, topic: str) -> dict[str, str]:
    return {"connector": "kafka", "topic": topic, "properties.bootstrap.servers": plan["kafka"]}


def group(plan: Plan, job: str) -> str:
    """Consumer group under which a job commits its offsets, once a checkpoint holds them."""
    return str(plan["jobs"][job]["name"])


def _kafka_source(plan: Plan, topic: str, job: str, start: str) -> dict[str, str]:
    return _kafka(plan, topic) | {
        "properties.group.id": group(plan, job),
        "properties.auto.offset.reset": "earliest",
        "scan.startup.mode": start,
    }


def _kafka_sink(plan: Plan, view: Plan, output: str) -> dict[str, str]:
    # Keyed, so that the rows of a key keep their order; values are absolute, so writing one twice does no harm.
    return _kafka(plan, view[output]) | {
        "key.format": "raw",
        "key.fields": view["join_key"],
        "value.format": "json",
        "sink.delivery-guarantee": "at-least-once",
    }


def _split(columns: str) -> list[tuple[str, str]]:
    """Columns of a plan as (name, type), without their defaults."""
    return [(name, kind.split("=")[0]) for name, kind in (c.split(":", 1) for c in columns.split(","))]


def _options(options: dict[str, str]) -> str:
    return ", ".join(f"{_text(k)} = {_text(v)}" for k, v in options.items())


def _name(identifier: str) -> str:
    return "`" + identifier.replace("`", "``") + "`"


def _text(literal: str) -> str:
    return "'" + literal.replace("'", "''") + "'"
