"""From a plan to Flink SQL: pure functions from data to text. Runs in the Flink environment: standard library only,
and what of ours needs nothing else.

Events are read as raw bytes and decoded by our own function, because Flink's avro format ends the job at the first bad
message. A time mark (streaming/marks.py) is a row whose id is NULL: it moves the watermark of its partition.
Events come in the columns of their newest schema, whichever they were written with.
"""

# ruff: noqa: S608 (names and texts of the plan are quoted by _name and _text)

from __future__ import annotations

from typing import Any

from streaming.names import ARCHIVE, LABELS, archive_group, features_group

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
# And one of the function of labels (LabelStates.java), with the columns that a topic gets of it.
LABEL, REFUSED = 0, 1
LABEL_COLUMNS = {
    "state": "STRING",
    "label": "INT",
    "weight": "DOUBLE",
    "at_ms": "BIGINT",
    "shown_ms": "BIGINT",
    "clicked_ms": "BIGINT",
    "duplicate_impressions": "INT",
    "clicks": "INT",
    "duplicate_clicks": "INT",
    "clicks_before": "INT",
    "clicks_late": "INT",
}
_FUNCTION = "CREATE TEMPORARY SYSTEM FUNCTION {} AS 'adfeast.streaming.{}'"
FUNCTIONS = [
    _FUNCTION.format(name, function)
    for name, function in (
        ("decode_event", "DecodeEvent"),
        ("decode_row", "DecodeRow"),
        ("encode_row", "EncodeRow"),
        ("event_problem", "EventProblem"),
        ("is_time_mark", "IsTimeMark"),
        ("sawtooth_windows", "SawtoothWindows"),
        ("watermark_keys", "WatermarkKeys"),
    )
]
# Keyed, so that the rows of a key keep their order; values are absolute, so writing one twice does no harm.
RAW_ROWS = {
    "key.format": "raw",
    "key.fields": "entity_key",
    "value.format": "raw",
    "value.fields-include": "EXCEPT_KEY",
}


def statements(plan: Plan, job: str) -> tuple[list[str], list[str]]:
    """A job of the plan as (statements that declare, inserts that run together)."""
    if job == LABELS:
        return labels(plan)
    return archive(plan) if job == ARCHIVE else features(plan, job)


def features(plan: Plan, job: str) -> tuple[list[str], list[str]]:
    """A stream view: its values and its watermark to `features.<project>.<view>`, late events to `late...`."""
    [view] = [v for v in plan["views"] if v["name"] == plan["jobs"][job]["view"]]
    [event] = [e for e in plan["events"] if e["topic"] == view["topic"]]
    declare = [
        *FUNCTIONS,
        _event_source(plan, event, job, watermark=True),
        _windows(plan, view, window_spec(plan, job, view)),
        _values_sink(plan, view),
        _late_sink(plan, view),
    ]
    return declare, [_insert_values(plan, view), _insert_late(plan, view)]


def window_spec(plan: Plan, job: str, view: Plan) -> str:
    """What the window function is told (WindowSpec.java): the features, and its options that are not 0."""
    start = plan["jobs"][job].get("start", {})
    options = {"emit": plan["emit_ms"], "from": start.get("from_ms", 0), "delay": plan["watermark_delay_ms"]}
    return ";".join([view["spec"], *(f"{name}={ms}" for name, ms in options.items() if ms)])


def labels(plan: Plan) -> tuple[list[str], list[str]]:
    """The states of labels to `labels.<project>`, and the events that are in none to `labels.<project>.refused`."""
    made, identity = plan["labels"], plan["envelope"]["id"]
    shown, clicked = made["topics"]
    impression = made["impression_id"]
    sources = [
        _event_source(plan, event, LABELS, watermark=True)
        for event in plan["events"]
        if event["topic"] in made["topics"]
    ]
    states = (
        "CREATE TEMPORARY VIEW `label states` AS "
        f"WITH e AS (SELECT event.{_name(identity)} AS impression_id, CAST(NULL AS STRING) AS click_id, ts "
        f"FROM {_name(shown)} WHERE event.{_name(identity)} IS NOT NULL "
        f"UNION ALL SELECT event.{_name(impression)}, event.{_name(identity)}, ts "
        f"FROM {_name(clicked)} WHERE event.{_name(identity)} IS NOT NULL) "
        "SELECT * FROM label_states(events => TABLE e PARTITION BY impression_id, "
        f"rules => {_text(made['rules'])}, on_time => DESCRIPTOR(ts), uid => 'labels')"
    )
    refused = {"event_id": "STRING", "event_timestamp": "BIGINT", "reason": "STRING"}
    declare = [
        *FUNCTIONS,
        _FUNCTION.format("label_states", "LabelStates"),
        *sources,
        states,
        _json_sink(plan, made["output"], impression, LABEL_COLUMNS),
        _json_sink(plan, made["refused"], impression, refused),
    ]
    return declare, [
        f"INSERT INTO {_name(made['output'])} SELECT impression_id, {', '.join(map(_name, LABEL_COLUMNS))} "
        f"FROM `label states` WHERE kind = {LABEL}",
        f"INSERT INTO {_name(made['refused'])} SELECT impression_id, event_id, at_ms, state "
        f"FROM `label states` WHERE kind = {REFUSED}",
    ]


def archive(plan: Plan) -> tuple[list[str], list[str]]:
    """Every event, snapshot and value to Parquet, exactly once; messages that are no events to `<topic>.dead`."""
    declare, insert = list(FUNCTIONS), []
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
            f"INSERT INTO {_name(source['dead'])} SELECT message, {_dead_headers(plan, source)} "
            f"FROM {_name(topic)} WHERE event IS NULL",
        ]
    for view in plan["views"]:
        topic, time = view["output"], plan["envelope"]["time"]
        typed = [f"{_name(view['join_key'])} STRING", *(f"{_name(f['name'])} {f['type']}" for f in view["features"])]
        times = [f"{_name(time)} TIMESTAMP_LTZ(3)", "created_timestamp TIMESTAMP_LTZ(3)"]
        declare += [
            _row_source(plan, view),
            _lake_sink(topic, plan["lake"][topic], [*typed, *times], time),
        ]
        taken = ", ".join(f"decoded.{_name(f['name'])}" for f in view["features"])
        # What is no row of values is left out here: the Redis writer sends it to the dead letters with the reason.
        insert.append(
            f"INSERT INTO {_name('lake ' + topic)} SELECT entity_key, {taken}, "
            f"TO_TIMESTAMP_LTZ(decoded.event_timestamp, 3), written "
            f"FROM {_name(topic)} WHERE decoded IS NOT NULL AND entity_key <> ''"
        )
    return declare, insert


def _event_source(plan: Plan, event: Plan, job: str, *, watermark: bool) -> str:
    topic = event["topic"]
    decoded = f"decode_event({_decoding(plan, event)})"
    time, extra, start = plan["envelope"]["time"], "", "group-offsets"
    options = {"format": "raw"}
    if watermark:
        # Without a checkpoint the state is built again from events; messages that are none have no time. No
        # producer can push the watermark past the time at which the broker took its message.
        begin = plan["jobs"][job].get("start", {}).get("timestamp_ms", 0)
        start = "timestamp" if begin else "earliest-offset"
        if begin:
            options["scan.startup.timestamp-millis"] = str(begin)
        options["scan.watermark.idle-timeout"] = f"{plan['idle_timeout_ms']} ms"
        seconds, millis = divmod(plan["watermark_delay_ms"], 1000)
        extra = (
            f", ts AS COALESCE({decoded}.{_name(time)}, TO_TIMESTAMP_LTZ(0, 3)), "
            "WATERMARK FOR ts AS LEAST(ts, written) - "
            f"INTERVAL '0 00:{seconds // 60:02}:{seconds % 60:02}.{millis:03}' DAY TO SECOND(3)"
        )
    return (
        f"CREATE TEMPORARY TABLE {_name(topic)} (message BYTES, "
        "written TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, "
        "`partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL, "
        f"event AS {decoded}{extra}) WITH ({_options(_kafka_source(plan, topic, job, start) | options)})"
    )


def _decoding(plan: Plan, event: Plan) -> str:
    """Arguments of the functions that decode a message of an event topic."""
    return f"message, written, {_text(event['columns'])}, {_text(event['writers'])}, {_text(event_rules(plan))}"


def event_rules(plan: Plan) -> str:
    """The limits of an event, as the Java decoder takes them."""
    return ",".join(f"{name}={'none' if limit is None else limit}" for name, limit in plan["event_rules"].items())


def _windows(plan: Plan, view: Plan, spec: str) -> str:
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
        f"spec => {_text(spec)}, on_time => DESCRIPTOR(ts), uid => {_text(view['name'])})"
    )


def _row_source(plan: Plan, view: Plan) -> str:
    """The rows of a view in the features that it has today, whichever layout they were written in."""
    topic = view["output"]
    columns = ",".join(f"{f['name']}:{f['type']}" for f in view["features"])
    decoded = f"decode_row(message, {_text(columns)}, {_text(plan['layouts'][topic])})"
    options = _kafka_source(plan, topic, "archive", "group-offsets") | RAW_ROWS
    return (
        f"CREATE TEMPORARY TABLE {_name(topic)} (entity_key STRING, message BYTES, "
        f"written TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, decoded AS {decoded}) WITH ({_options(options)})"
    )


def _values_sink(plan: Plan, view: Plan) -> str:
    options = _kafka(plan, view["output"]) | RAW_ROWS | {"sink.delivery-guarantee": "at-least-once"}
    return (
        f"CREATE TEMPORARY TABLE {_name(view['output'])} (entity_key STRING, message BYTES) WITH ({_options(options)})"
    )


def _late_sink(plan: Plan, view: Plan) -> str:
    columns = {plan["envelope"]["id"]: "STRING", plan["envelope"]["time"]: "BIGINT"}
    return _json_sink(plan, view["late"], view["join_key"], columns)


def _json_sink(plan: Plan, topic: str, key: str, columns: dict[str, str]) -> str:
    """Rows for whoever wants to read them, keyed so that those of a key keep their order."""
    options = _kafka(plan, topic) | {
        "key.format": "raw",
        "key.fields": key,
        "value.format": "json",
        "sink.delivery-guarantee": "at-least-once",
    }
    typed = ", ".join(f"{_name(name)} {kind}" for name, kind in {key: "STRING", **columns}.items())
    return f"CREATE TEMPORARY TABLE {_name(topic)} ({typed}) WITH ({_options(options)})"


def _insert_values(plan: Plan, view: Plan) -> str:
    types = ",".join(f["type"] for f in view["features"])
    row = f"encode_row({_text(view['layout'])}, at_ms, amounts, {_text(types)})"
    return (
        f"INSERT INTO {_name(view['output'])} SELECT entity_key, {row} "
        f"FROM {_name('windows ' + view['name'])} WHERE kind <> {LATE}"
    )


def _insert_late(plan: Plan, view: Plan) -> str:
    return (
        f"INSERT INTO {_name(view['late'])} SELECT entity_key, event_id, at_ms "
        f"FROM {_name('windows ' + view['name'])} WHERE kind = {LATE}"
    )


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


def _dead_headers(plan: Plan, source: Plan) -> str:
    values = {
        "reason": f"event_problem({_decoding(plan, source)})",
        "topic": _text(source["topic"]),
        "partition": "CAST(`partition` AS STRING)",
        "offset": "CAST(`offset` AS STRING)",
    }
    return "MAP[" + ", ".join(f"{_text(k)}, ENCODE({v}, 'UTF-8')" for k, v in values.items()) + "]"


def _kafka(plan: Plan, topic: str) -> dict[str, str]:
    options = {"bootstrap.servers": plan["kafka"], **plan.get("kafka_options", {})}
    return {"connector": "kafka", "topic": topic} | {f"properties.{k}": v for k, v in options.items()}


def group(plan: Plan, job: str) -> str:
    """Consumer group under which a job commits its offsets, once a checkpoint holds them."""
    spec = plan["jobs"][job]
    if job == ARCHIVE:
        return archive_group(plan["project"])
    return features_group(spec["name"], spec["digest"], spec.get("start", {}).get("lineage", 0))


def _kafka_source(plan: Plan, topic: str, job: str, start: str) -> dict[str, str]:
    return _kafka(plan, topic) | {
        "properties.group.id": group(plan, job),
        "properties.auto.offset.reset": "earliest",
        "scan.startup.mode": start,
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
