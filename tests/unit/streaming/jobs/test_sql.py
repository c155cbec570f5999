"""Definitions to plan to SQL, without a server."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from adfeast.contract.definitions import Aggregation, Definitions, Feature, View
from adfeast.contract.events import CLICKS, IMPRESSIONS, fingerprint
from adfeast.contract.label_states import Label
from adfeast.contract.rows import Layout
from adfeast.errors import DefinitionError
from adfeast.settings import Settings
from streaming.jobs.sql import LABEL_COLUMNS, event_rules, statements
from streaming.names import ARCHIVE, LABELS, archive_group, features_job
from streaming.plan import make_plan, started

JOB = features_job("shop_bids")
SCHEMA = {
    "type": "record",
    "name": "Bid",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "event_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "shop_id", "type": "string"},
        {"name": "price", "type": "double"},
    ],
}


def definitions(function: str = "sum") -> Definitions:
    features = tuple(
        Feature(n, t, "dense", 1, 0, "none", 0.0, "") for n, t in (("spent", "float64"), ("visit", "int64"))
    )
    view = View(
        name="shop_bids",
        kind="stream",
        entity="shop",
        join_key="shop_id",
        tier="redis",
        max_age_s=60,
        features=features,
        table="/lake/history",
        topic="bids",
        aggregations=(
            Aggregation("spent", function, "price", 60, 5),
            Aggregation("visit", "session_count", "price", 30, 30),
        ),
    )
    return Definitions("p", {"shop": "shop_id"}, {view.name: view}, {"bids": SCHEMA}, {}, {}, {})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(registry_url=f"sqlite:///{tmp_path}/registry.db")


def test_a_plan_is_plain_data_and_its_digest_follows_the_aggregations(settings: Settings) -> None:
    plan = make_plan(definitions(), settings)
    assert json.loads(json.dumps(plan)) == plan
    assert plan["views"][0]["spec"] == "1-60000-5000_0-30000-0"
    columns = "event_id:string,event_timestamp:timestamp-millis,shop_id:string,price:double"
    assert plan["events"][0]["columns"] == columns
    assert plan["events"][0]["writers"] == f"{fingerprint(SCHEMA).hex()}={columns}"
    changed = make_plan(definitions("count"), settings)
    assert changed["jobs"][JOB]["digest"] != plan["jobs"][JOB]["digest"]
    assert make_plan(definitions(), settings) == plan


def test_the_limits_of_events_travel_with_the_plan(settings: Settings) -> None:
    plan = make_plan(definitions(), settings)
    assert plan["event_rules"] | {"ahead_ms": 60_000, "max_age_ms": 7 * 86_400_000} == plan["event_rules"]
    assert "ahead_ms=60000,max_age_ms=604800000" in event_rules(plan)
    assert all(f"'{event_rules(plan)}'" in s for s in statements(plan, ARCHIVE)[0] if "decode_event(" in s)
    history = make_plan(definitions(), settings.model_copy(update={"event_max_age_s": None}))
    assert event_rules(history).endswith("max_age_ms=none")
    assert all(history["jobs"][job]["tuning"] != plan["jobs"][job]["tuning"] for job in (JOB, ARCHIVE))


def test_a_new_column_is_read_from_older_events_as_its_default(settings: Settings) -> None:
    first = make_plan(definitions(), settings)
    newer = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "tag", "type": "string", "default": "tel"}]}
    plan = make_plan(replace(definitions(), events={"bids": newer}), settings)
    assert plan["events"][0]["columns"] == first["events"][0]["columns"] + ",tag:string=0674656c"
    assert {w.split("=")[0] for w in plan["events"][0]["writers"].split(";")} == set(plan["events"][0]["schemas"])
    assert set(plan["events"][0]["schemas"]) == {fingerprint(SCHEMA).hex(), fingerprint(newer).hex()}
    # The state of the windows knows nothing of it: their job is only restarted.
    assert plan["jobs"][JOB]["digest"] == first["jobs"][JOB]["digest"]
    assert plan["jobs"][JOB]["tuning"] != first["jobs"][JOB]["tuning"]
    assert plan["jobs"][ARCHIVE]["digest"] != first["jobs"][ARCHIVE]["digest"]
    _, insert = statements(plan, ARCHIVE)
    assert any(i.startswith("INSERT INTO `lake bids`") and "event.`tag`" in i for i in insert)


def test_a_topic_without_a_view_is_archived_and_no_matter_of_the_features(settings: Settings) -> None:
    known = definitions()
    plan = make_plan(known, settings)
    more = make_plan(replace(known, events={**known.events, "audit": SCHEMA}), settings)
    assert more["jobs"][JOB]["digest"] == plan["jobs"][JOB]["digest"]
    assert more["jobs"][ARCHIVE]["digest"] != plan["jobs"][ARCHIVE]["digest"]
    assert not any("`audit`" in s for s in statements(more, JOB)[0])
    assert {i.split("`")[1] for i in statements(more, ARCHIVE)[1]} >= {"lake audit", "audit.dead"}
    without = make_plan(replace(known, views={}), settings)
    assert list(without["jobs"]) == [ARCHIVE]


def test_a_feature_that_no_aggregation_makes_is_named(settings: Settings) -> None:
    known = definitions()
    view = replace(known.views["shop_bids"], aggregations=())
    with pytest.raises(DefinitionError, match="'spent' of view 'shop_bids'"):
        make_plan(replace(known, views={"shop_bids": view}), settings)


def test_every_sink_is_fed_and_the_rows_of_a_key_stay_in_order(settings: Settings) -> None:
    plan = make_plan(definitions(), settings)
    declare, insert = statements(plan, JOB)
    assert [i.split("`")[1] for i in insert] == ["features.p.shop_bids", "late.p.shop_bids"]
    sink = next(d for d in declare if d.startswith("CREATE TEMPORARY TABLE `features.p.shop_bids`"))
    assert "'key.fields' = 'entity_key'" in sink
    # No producer can push the watermark past the broker's own time.
    bound = "WATERMARK FOR ts AS LEAST(ts, written) - INTERVAL '0 00:00:05.000' DAY TO SECOND(3)"
    assert any(bound in d for d in declare)
    assert plan["topics"]["bids"]["configs"]["message.timestamp.type"] == "LogAppendTime"
    _, insert = statements(plan, ARCHIVE)
    assert {i.split("`")[1] for i in insert} == {
        "lake bids",
        "bids.dead",
        "lake snapshots",
        "snapshots.dead",
        "lake features.p.shop_bids",
    }


def test_the_archive_goes_on_where_its_group_has_committed(settings: Settings) -> None:
    """However often it begins without state: what lies in the lake already is not written again."""
    plan = make_plan(definitions(), settings)
    for begun in (plan, started(plan, ARCHIVE, {"lineage": 7, "timestamp_ms": 0, "from_ms": 0})):
        sources = [d for d in statements(begun, ARCHIVE)[0] if "'scan.startup.mode'" in d]
        assert {s.split("`")[1] for s in sources} == {"bids", "snapshots", "features.p.shop_bids"}
        assert all("'scan.startup.mode' = 'group-offsets'" in s for s in sources)
        assert all(f"'properties.group.id' = '{archive_group(settings.project)}'" in s for s in sources)


def test_a_changed_view_is_no_matter_of_the_others(settings: Settings) -> None:
    known = definitions()
    other = replace(known.views["shop_bids"], name="other")
    plan = make_plan(replace(known, views=known.views | {"other": other}), settings)
    changed = definitions("count").views["shop_bids"]
    more = make_plan(replace(known, views={"shop_bids": changed, "other": other}), settings)
    same = {job for job, spec in plan["jobs"].items() if spec == more["jobs"][job]}
    assert same == {features_job("other")}
    assert [d for d in statements(plan, JOB)[0] if "other" in d] == []
    gone = make_plan(replace(known, views={"other": other}), settings)
    assert gone["jobs"][features_job("other")] == plan["jobs"][features_job("other")]


def test_how_a_job_runs_and_begins_is_no_part_of_its_digest(settings: Settings) -> None:
    plan = make_plan(definitions(), settings)
    wide = make_plan(definitions(), settings, parallelism=2, features_checkpoint_ms=9_000)
    disk = make_plan(definitions(), settings.model_copy(update={"stream_state_backend": "rocksdb"}))
    moved = make_plan(definitions(), settings.model_copy(update={"kafka_bootstrap": "elsewhere:9092"}))
    specs = [p["jobs"][JOB] for p in (plan, wide, disk, moved)]
    assert len({s["digest"] for s in specs}) == 1
    assert len({s["tuning"] for s in specs}) == 4
    later = started(plan, JOB, {"lineage": 7, "timestamp_ms": 1_000, "from_ms": 2_000})
    assert {**later["jobs"][JOB], "start": None} == {**plan["jobs"][JOB], "start": None}
    slow = make_plan(definitions(), settings.model_copy(update={"stream_emit_ms": 500}))
    assert slow["jobs"][JOB]["digest"] != plan["jobs"][JOB]["digest"]


def test_a_job_that_is_built_beside_another_reads_from_a_time_and_writes_from_a_later_one(settings: Settings) -> None:
    plan = make_plan(definitions(), settings)
    declare, _ = statements(plan, JOB)
    assert any("'scan.startup.mode' = 'earliest-offset'" in d for d in declare)
    assert any("spec => '1-60000-5000_0-30000-0;delay=5000'" in d for d in declare)
    declare, _ = statements(started(plan, JOB, {"lineage": 7, "timestamp_ms": 1_000, "from_ms": 2_000}), JOB)
    source = next(d for d in declare if d.startswith("CREATE TEMPORARY TABLE `bids`"))
    assert "'scan.startup.mode' = 'timestamp'" in source
    assert "'scan.startup.timestamp-millis' = '1000'" in source
    assert f"'properties.group.id' = '{settings.project}-{JOB}@{plan['jobs'][JOB]['digest']}.7'" in source
    assert any("spec => '1-60000-5000_0-30000-0;from=2000;delay=5000'" in d for d in declare)


def test_rows_of_every_layout_are_archived_and_a_former_one_is_no_matter_of_the_features(settings: Settings) -> None:
    summed = definitions()
    view = summed.views["shop_bids"]
    renamed = {"shop_bids": replace(view, features=view.features[::-1])}
    first = make_plan(summed, settings)
    second = make_plan(replace(summed, views=renamed), settings)
    own = [Layout.of(d["shop_bids"]).id.hex() for d in (summed.views, renamed)]
    assert first["layouts"]["features.p.shop_bids"] == f"{own[0]}=spent:DOUBLE,visit:BIGINT"
    assert set(second["layouts"]["features.p.shop_bids"].split(";")) == {
        f"{own[0]}=spent:DOUBLE,visit:BIGINT",
        f"{own[1]}=visit:BIGINT,spent:DOUBLE",
    }
    again = make_plan(summed, settings)
    assert again["jobs"][JOB] == first["jobs"][JOB]
    decoded = f"decode_row(message, 'spent:DOUBLE,visit:BIGINT', '{again['layouts']['features.p.shop_bids']}')"
    assert any(decoded in d for d in statements(again, ARCHIVE)[0])
    _, insert = statements(again, JOB)
    assert f"encode_row('{own[0]}', at_ms, amounts, 'DOUBLE,BIGINT')" in insert[0]


def test_marks_are_fanned_out_beside_the_events_and_the_function_knows_its_options(settings: Settings) -> None:
    plan = make_plan(definitions(), settings, parallelism=3)
    assert plan["watermark_keys"] == 24
    view = next(d for d in statements(plan, JOB)[0] if "`windows shop_bids`" in d)
    events, _, marks = view.partition("UNION ALL")
    assert "watermark_keys" not in events
    assert "LATERAL TABLE(watermark_keys(24))" in marks
    assert "spec => '1-60000-5000_0-30000-0;delay=5000'" in marks
    coalesced = make_plan(definitions(), settings, parallelism=3, emit_ms=250)
    assert coalesced["jobs"][JOB]["digest"] != plan["jobs"][JOB]["digest"]
    later = started(coalesced, JOB, {"lineage": 1, "timestamp_ms": 0, "from_ms": 7})
    view = next(d for d in statements(later, JOB)[0] if "`windows shop_bids`" in d)
    assert "spec => '1-60000-5000_0-30000-0;emit=250;from=7;delay=5000'" in view


def label_definitions() -> Definitions:
    clicked = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "impression_id", "type": "string"}]}
    return replace(definitions(), events={"bids": SCHEMA, IMPRESSIONS: SCHEMA, CLICKS: clicked})


def test_labels_are_planned_only_when_a_setting_asks_for_them(settings: Settings) -> None:
    without = make_plan(label_definitions(), settings)
    asked = settings.model_copy(update={"label_window_s": 60})
    plan = make_plan(label_definitions(), asked)
    assert plan["jobs"].keys() - without["jobs"].keys() == {LABELS}
    assert plan["topics"].keys() - without["topics"].keys() == {"labels.p", "labels.p.refused"}
    # Nothing else is started again for it.
    assert all(plan["jobs"][name] == job for name, job in without["jobs"].items())
    other = make_plan(label_definitions(), asked.model_copy(update={"label_grace_s": 1}))
    assert other["jobs"][LABELS]["digest"] != plan["jobs"][LABELS]["digest"]
    with pytest.raises(DefinitionError, match=r"label_window_s.*'impressions'"):
        make_plan(definitions(), asked)


def test_the_job_of_labels_reads_both_topics_from_their_beginning_and_writes_two(settings: Settings) -> None:
    plan = make_plan(label_definitions(), settings.model_copy(update={"label_window_s": 60}))
    declare, insert = statements(plan, LABELS)
    sources = [d for d in declare if "'scan.startup.mode' = 'earliest-offset'" in d]
    assert [s.split("`")[1] for s in sources] == [CLICKS, IMPRESSIONS]
    assert any(
        "'window=60000;grace=600000;steps=4'" in d and "event.`impression_id`, event.`event_id`" in d for d in declare
    )
    assert [i.split("`")[1] for i in insert] == ["labels.p", "labels.p.refused"]
    assert list(LABEL_COLUMNS) == [f.name for f in fields(Label)][1:]
