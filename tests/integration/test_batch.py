"""The batch side from archive to online rows and training set, on a local lake and on an S3 endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from adfeast.clock import ManualClock, to_ms
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_ID, EVENT_TIME, IMPRESSION_ID, IMPRESSIONS, REQUEST_ID
from adfeast.contract.ids import hash_id
from adfeast.contract.signature import AD, TENSORS, Contract, Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply, open_store
from adfeast.lake import filesystem, open_table, parquet_files
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from tests.integration.small_lake import DAY, WINDOW, SmallLake, write_lake
from training.data import label_join, materialize, validate
from training.data.columns import NOT_LOGGED, column_names, status_column
from training.errors import NotComplete, NothingToLabel, ValidationFailed
from training.model.dataset import Part, TrainingSet

END = DAY + timedelta(days=1)
CLOCK = ManualClock(to_ms(END + timedelta(hours=2)))


@dataclass(frozen=True)
class Batch:
    """One deployment with its lake filled."""

    settings: Settings
    definitions: Definitions
    lake: SmallLake

    def files(self, *parts: str) -> list[str]:
        return parquet_files(*filesystem(self.settings, self.settings.lake_path(*parts)))

    def table(self, path: str) -> pa.Table:
        fs, folder = filesystem(self.settings, path)
        return pads.dataset(parquet_files(fs, folder), filesystem=fs, format="parquet").to_table()


@pytest.fixture(scope="module", params=["folder", "s3"])
def batch(
    request: pytest.FixtureRequest, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Batch]:
    """The steps' own project, registry, ledger and lake beside the platform's."""
    home = tmp_path_factory.mktemp(f"batch-{request.param}")
    own = settings.model_copy(
        update={
            "project": f"batch_{request.param}",
            "registry_url": f"sqlite:///{home}/registry.db",
            "ledger_url": f"sqlite:///{home}/ledger.db",
            "lake": str(home / "lake"),
        }
    )
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    if request.param == "s3":
        server.start()
        host, port = server.get_host_and_port()
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        where = {"s3_endpoint": f"http://{host}:{port}", "lake": "s3://adfeast-lake/here"}
        own = own.model_copy(update=where | keys)
        s3 = boto3.client("s3", endpoint_url=own.s3_endpoint, region_name=own.aws_region, **keys)
        s3.create_bucket(Bucket="adfeast-lake")
    try:
        apply(own)
        definitions = load_definitions(own)
        yield Batch(own, definitions, write_lake(own, definitions))
    finally:
        if request.param == "s3":
            server.stop()


@pytest.fixture(scope="module")
def written(batch: Batch) -> list[materialize.Outcome]:
    return materialize.run(batch.settings, END + timedelta(hours=1), CLOCK)


@pytest.fixture(scope="module")
def joined(batch: Batch) -> label_join.TrainingSet:
    return label_join.run(batch.settings, DAY, END, WINDOW, "small", CLOCK)


def test_features_are_computed_once_an_interval(batch, written):
    views = [v for v in batch.definitions.views.values() if v.kind == "batch"]
    assert {o.view: (o.end, o.status) for o in written} == {v.name: (END, "done") for v in views}
    rows = [batch.table(f"{v.table}/as_of={END:%Y%m%dT%H%M%S}") for v in views]
    assert sum(t.num_rows for t in rows) == sum(o.rows for o in written) > 0
    assert all(set(t[EVENT_TIME].to_pylist()) == {END} for t in rows)
    before = [batch.files("features")]
    assert materialize.run(batch.settings, END, CLOCK) == []
    assert [batch.files("features")] == before


def test_the_online_rows_are_the_computed_rows(batch, written):
    store = open_store(batch.settings)
    for view in (v for v in batch.definitions.views.values() if v.kind == "batch"):
        expected = batch.table(f"{view.table}/as_of={END:%Y%m%dT%H%M%S}").sort_by(view.join_key)
        names = [f.name for f in view.features]
        asked = [{view.join_key: key} for key in expected[view.join_key].to_pylist()]
        found = store.get_online_features([f"{view.name}:{n}" for n in names], asked).to_dict()
        for name in names:
            assert found[name] == expected[name].to_pylist(), name


def test_history_counts_each_event_once_up_to_as_of(batch, written):
    user = batch.definitions.entities["user"]
    view = next(
        v for v in batch.definitions.views.values() if any(f.role == "list" for f in v.features) and v.join_key == user
    )
    [recent] = [f for f in view.features if f.role == "list"]
    rows = {r[user]: r for r in batch.table(f"{view.table}/as_of={END:%Y%m%dT%H%M%S}").to_pylist()}
    ad = batch.definitions.entities["ad"]
    for key in {i[user] for i in batch.lake.impressions}:
        seen = {i[EVENT_ID]: i for i in batch.lake.impressions if i[user] == key and i[EVENT_TIME] <= END}
        newest = sorted(seen.values(), key=lambda i: i[EVENT_TIME], reverse=True)[: recent.width]
        assert rows[key][recent.name] == [hash_id(i[ad]) for i in newest]
        clicks = {c[EVENT_ID] for c in batch.lake.clicks if c[user] == key and c[EVENT_TIME] <= END}
        counts = [rows[key][f.name] for f in view.features if f.dtype == "int64" and f.role == "dense"]
        assert sorted(counts) == sorted([len(seen), len(clicks)])


def test_labels_are_those_of_a_naive_join(batch, joined):
    clicked = {
        c[IMPRESSION_ID]
        for c in batch.lake.clicks
        for i in batch.lake.impressions
        if i[EVENT_ID] == c[IMPRESSION_ID] and timedelta(0) <= c[EVENT_TIME] - i[EVENT_TIME] <= WINDOW
    }
    shown = {i[EVENT_ID]: i[REQUEST_ID] for i in batch.lake.impressions}
    expected = {i: int(i in clicked) for i, request in shown.items() if request not in batch.lake.left_out}
    table = batch.table(joined.path)
    assert dict(zip(table[IMPRESSION_ID].to_pylist(), table["label"].to_pylist(), strict=True)) == expected
    assert table.num_rows == len(expected) == joined.counts["rows"]
    assert joined.counts["positives"] == sum(expected.values()) > 0
    late = {c[EVENT_ID] for c in batch.lake.clicks if c[IMPRESSION_ID] in set(shown) - clicked}
    assert joined.counts["clicks_outside_window"] == len(late) > 0
    assert joined.counts["duplicate_impressions"] == joined.counts["duplicate_clicks"] == 1
    assert joined.counts["clicks_without_impression"] == 1
    for reason in batch.lake.left_out.values():
        assert joined.counts[reason] == list(batch.lake.left_out.values()).count(reason)
    assert joined.unknown_contracts == {"nobody's": 1}


def test_values_are_those_of_the_answer_that_was_shown_bit_for_bit(batch, joined):
    """Of the attempt that the impression names, read by the contract that its snapshot names."""
    before, today = batch.lake.contracts
    union = Contract.union(today, before)
    rows = batch.table(joined.path)
    assert Contract.from_json(rows.schema.metadata[b"contract"].decode()) == union
    columns, ad = column_names(union), batch.definitions.entities["ad"]
    assert len(set(columns.values())) == len(today.inputs) + 1
    positions = {i[EVENT_ID]: i["position"] for i in batch.lake.impressions}
    for row in rows.to_pylist():
        snapshot = batch.lake.snapshots[row[REQUEST_ID]]
        contract, at = batch.lake.contract(snapshot), snapshot.ad_ids.index(row[ad])
        assert row["attempt_id"] == snapshot.attempt_id
        assert (row["score"], row["model_version"]) == (snapshot.scores[at], snapshot.model_version)
        assert row["position"] == positions[row[IMPRESSION_ID]]
        for role in TENSORS:
            given = snapshot.tensors.of(role)[at]
            values = [np.nan if row[columns[i]] is None else row[columns[i]] for i in contract.role(role)]
            flat = np.hstack([np.zeros(0, given.dtype), *(np.asarray(v, given.dtype) for v in values)])
            assert flat.tobytes() == given.tobytes()
        own = [i for i in contract.inputs if i.source == AD]
        shared = [i for i in contract.inputs if i.source != AD]
        assert [row[status_column(columns[i])] for i in own] == snapshot.ad_status[at].tolist()
        assert [row[status_column(columns[i])] for i in shared] == snapshot.shared_status.tolist()
        for i in set(columns) - set(contract.inputs):
            assert row[status_column(columns[i])] == NOT_LOGGED
    assert {s.contract_hash for s in batch.lake.snapshots.values()} == {before.hash, today.hash}


def test_a_model_takes_what_was_logged_before_and_after_a_change(batch, joined, tmp_path):
    """What the morning did not log is counted; its rows are left out, or it is given as missing."""
    pq.write_table(batch.table(joined.path), tmp_path / "part.parquet")
    signature = batch.definitions.signature(batch.settings.feature_service)
    before, today = batch.lake.contracts
    changed = [i.name for i in signature.inputs if i.identity not in before.inputs]
    assert len(changed) == 2
    served = [batch.lake.snapshots[r].contract_hash for r in batch.table(joined.path)[REQUEST_ID].to_pylist()]
    morning = served.count(before.hash)
    data = TrainingSet(tmp_path, signature)
    assert data.not_logged == dict.fromkeys(changed, morning)
    assert (data.left_out, sum(data.count(p)[0] for p in Part)) == (morning, served.count(today.hash))
    assert not np.isnan(data.read(Part.TRAIN).tensors.dense).any()
    both = Signature("both", tuple(i for i in signature.inputs if i.name not in changed))
    assert TrainingSet(tmp_path, both).left_out == 0
    assert sum(TrainingSet(tmp_path, signature, not_logged="missing").count(p)[0] for p in Part) == len(served)


def test_a_set_is_made_once_and_again_when_another_took_its_folder(batch, joined):
    files = batch.files("training_sets", "small")
    assert label_join.run(batch.settings, DAY, END, WINDOW, "small", CLOCK) == joined
    assert batch.files("training_sets", "small") == files
    ledger = Ledger(batch.settings, CLOCK)
    [run] = ledger.runs(label_join.JOB, "small")
    assert (run.status, run.rows, run.attempts, run.end) == ("done", joined.counts["rows"], 1, END)
    other = label_join.run(batch.settings, DAY, END, WINDOW * 2, "retaken", CLOCK)
    assert other.counts["positives"] > joined.counts["positives"]
    again = label_join.run(batch.settings, DAY, END, WINDOW, "retaken", CLOCK)
    assert again.counts == joined.counts
    assert len(ledger.runs(label_join.JOB, "retaken")) == 2


def test_labels_wait_for_the_archive(batch):
    with pytest.raises(NotComplete) as refused:
        label_join.run(batch.settings, DAY, END + timedelta(days=5), WINDOW, "later", CLOCK)
    assert [b.split("'")[1] for b in refused.value.behind] == [IMPRESSIONS, "snapshots", CLICKS]
    assert "2019-12-04T00:35:00" in refused.value.behind[-1]  # a click may be a label window and a grace later
    assert Ledger(batch.settings, CLOCK).runs(label_join.JOB, "later") == []


def test_open_windows_wait_and_empty_intervals_say_so(batch, joined):
    early = label_join.run(batch.settings, DAY, END, WINDOW, "early", CLOCK, DAY + timedelta(hours=12))
    closed = {i[EVENT_ID] for i in batch.lake.impressions if i[EVENT_TIME] + WINDOW <= DAY + timedelta(hours=12)}
    found = set(batch.table(early.path)[IMPRESSION_ID].to_pylist())
    assert found == closed - {f"i{r[1:]}" for r in batch.lake.left_out}
    assert early.counts["impressions_open"] == len({i[EVENT_ID] for i in batch.lake.impressions}) - len(closed)
    with pytest.raises(NothingToLabel, match="impressions"):
        label_join.run(batch.settings, END + WINDOW, END + WINDOW + timedelta(minutes=9), WINDOW, "none", CLOCK)


def test_a_sound_set_passes_and_a_broken_one_is_named(batch, joined, tmp_path):
    passed = validate.run(batch.settings, joined.path, CLOCK)
    assert passed.rows == joined.counts["rows"]
    assert validate.run(batch.settings, joined.path, CLOCK) == passed
    [run] = Ledger(batch.settings, CLOCK).runs(validate.JOB, joined.path[-200:])
    assert (run.status, run.attempts, run.start, run.end) == ("done", 1, DAY, END)
    table = batch.table(joined.path)
    at = table.schema.get_field_index("label")
    broken = table.set_column(at, table.schema.field(at), pa.array([7] * table.num_rows, pa.int8()))
    pq.write_table(pa.concat_tables([broken, broken]), tmp_path / "part.parquet")
    with pytest.raises(ValidationFailed) as failure:
        validate.run(batch.settings, str(tmp_path), CLOCK)
    text = str(failure.value)
    assert "expect_column_values_to_be_in_set(label)" in text
    assert "[7, 7, 7]" in text
    assert f"expect_column_values_to_be_unique({IMPRESSION_ID})" in text
    [run] = Ledger(batch.settings, CLOCK).runs(validate.JOB, str(tmp_path)[-200:])
    assert run.status == "failed"
    assert "label" in run.error
    dropped = batch.definitions.signature(batch.settings.feature_service).inputs[0].name
    pq.write_table(table.drop_columns([dropped]), tmp_path / "part.parquet")
    with pytest.raises(ValidationFailed, match=rf"expect_column_to_exist\({dropped}\)"):
        validate.run(batch.settings, str(tmp_path), CLOCK)


def test_a_feature_newer_than_the_lake_is_null_in_older_rows(batch, written):
    view = next(v for v in batch.definitions.views.values() if v.kind == "batch")
    opened = open_table(batch.settings, view.table, {view.join_key: pa.string(), "added_later": pa.null()})
    assert opened.to_table()["added_later"].null_count == opened.count_rows() > 0
    assert {IMPRESSIONS, CLICKS} <= set(batch.definitions.events)
