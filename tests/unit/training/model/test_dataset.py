from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adfeast.contract.signature import Contract, Signature
from adfeast.contract.tensors import Status
from training.data.columns import NOT_LOGGED, column_names, status_column
from training.model.dataset import Part, TrainingSet
from training.model.errors import TrainingSetError


def with_default(signature: Signature, name: str, default: float) -> Signature:
    inputs = tuple(replace(i, default=default) if i.name == name else i for i in signature.inputs)
    return Signature(signature.service, inputs)


def set_status(folder: Path, name: str, rows: slice, status: int) -> None:
    """Of the first file."""
    table = pq.read_table(folder / "part-0.parquet")
    column = table[status_column(name)].to_numpy().copy()
    column[rows] = status
    at = table.schema.get_field_index(status_column(name))
    pq.write_table(table.set_column(at, status_column(name), pa.array(column)), folder / "part-0.parquet")


def test_columns_stand_in_the_order_of_the_signature(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature)
    assert (data.not_logged, data.left_out) == ({}, 0)
    batch = data.read(Part.TRAIN)
    table = pq.read_table([training_set / "part-0.parquet", training_set / "part-1.parquet"])
    rows = np.flatnonzero(data.part == Part.TRAIN)
    for role in ("dense", "sparse", "list", "embedding"):
        columns = [np.stack(table[i.name].to_pylist()).reshape(-1, i.width) for i in signature.role(role)]
        tensor = batch.tensors.of(role)
        np.testing.assert_array_equal(tensor, np.concatenate(columns, axis=1)[rows].astype(tensor.dtype))


def test_parts_follow_each_other_in_time_and_keep_requests_whole(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature, (0.5, 0.3, 0.2))
    assert [data.count(p)[0] for p in Part] == [3000, 900, 900, 1200]
    requests = [set(data.read(p).request.tolist()) for p in Part]
    assert sum(map(len, requests)) == len(set.union(*requests)) == 600
    times = np.concatenate(
        [pq.read_table(f)["event_timestamp"].to_numpy() for f in sorted(training_set.glob("part-*"))]
    )
    for earlier, later in zip(Part, list(Part)[1:], strict=False):
        assert times[data.part == earlier].max() < times[data.part == later].min()
    whole = data.whole()
    assert [whole.count(p)[0] for p in Part] == [5100, 0, 900, 0]
    assert times[whole.part == Part.TRAIN].max() < times[whole.part == Part.CALIBRATION].min()
    assert data.newest_us == whole.newest_us == times.max().astype("datetime64[us]").astype(np.int64)
    assert [TrainingSet(training_set, signature, (0.8, 0.0, 0.2)).whole().count(p)[0] for p in Part] == [6000, 0, 0, 0]


def test_a_shuffled_pass_sees_each_row_once_and_repeats_for_a_seed(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature)

    def dense(seed: int | None) -> np.ndarray:
        return np.concatenate([b.tensors.dense for b in data.batches(Part.TRAIN, 100, seed, buffer=2)])

    ordered = dense(None)
    np.testing.assert_array_equal(ordered, data.read(Part.TRAIN).tensors.dense)
    shuffled = dense(7)
    np.testing.assert_array_equal(shuffled, dense(7))
    assert not np.array_equal(shuffled, ordered)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(ordered, axis=0))


def test_downsampling_drops_only_rows_without_a_click(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature)
    rows, clicks = data.count(Part.TRAIN)
    labels = np.concatenate([b.label for b in data.batches(Part.TRAIN, 100, 1, negative_rate=0.2)])
    assert labels.sum() == clicks
    assert len(labels) - clicks == pytest.approx(0.2 * (rows - clicks), rel=0.15)


def test_the_same_negatives_are_taken_however_the_rows_are_stored(
    tmp_path: Path, signature: Signature, write: Callable[..., Path]
) -> None:
    taken = []
    for files in (1, 3):
        data = TrainingSet(write(tmp_path / str(files), signature, rows=3000, files=files), signature, (1.0, 0.0, 0.0))
        rows = [b.tensors.embeddings for b in data.batches(Part.TRAIN, 100, 5, negative_rate=0.3)]
        taken.append(np.sort(np.concatenate(rows)[:, 0]))  # of a continuous value: says which row it is
    np.testing.assert_array_equal(*taken)


def test_what_is_missing_becomes_what_is_served_for_it(
    tmp_path: Path, generate: Callable[..., Signature], write: Callable[..., Path]
) -> None:
    signature = generate(dense=1, sparse=1, lists=1, embeddings=1)
    signature = with_default(signature, "d0", 0.5)
    folder = write(tmp_path / "set", signature, rows=50, files=1)
    table = pq.read_table(folder / "part-0.parquet")
    for i in signature.inputs:
        column = table[i.name].to_pylist()
        column[5], column[8] = None, np.nan if i.role == "dense" else column[8]
        kind = table[i.name].type
        if i.width > 1:  # as Spark writes lists; Arrow itself cannot read a null list of fixed size back from Parquet
            kind = pa.list_(kind.value_type)
        table = table.set_column(table.schema.get_field_index(i.name), i.name, pa.array(column, kind))
    pq.write_table(table, folder / "part-0.parquet")
    tensors = TrainingSet(folder, signature, (1.0, 0.0, 0.0)).read(Part.TRAIN).tensors
    assert tensors.dense[[5, 8]].tolist() == [[0.5], [0.5]]
    assert (tensors.dense[6] != 0.5).all()
    assert tensors.ids[5].tolist() == [-1]
    assert (tensors.lists[5] == -1).all()
    assert (tensors.embeddings[5] == 0).all()
    assert (tensors.embeddings[6] != 0).all()


def test_a_folder_that_is_no_training_set_is_refused(
    tmp_path: Path, generate: Callable[..., Signature], write: Callable[..., Path]
) -> None:
    signature = generate()
    with pytest.raises(TrainingSetError, match="no rows"):
        TrainingSet(tmp_path, signature)
    mixed = write(tmp_path / "mixed", generate(dense=2), rows=40, files=1)
    other = write(tmp_path / "other", generate(dense=3), rows=40, files=1)
    (other / "part-0.parquet").rename(mixed / "part-9.parquet")
    with pytest.raises(TrainingSetError, match="one contract"):
        TrainingSet(mixed, generate(dense=2))
    short = write(tmp_path / "short", signature, rows=40, files=1)
    table = pq.read_table(short / "part-0.parquet")
    lacking = table.drop_columns([signature.inputs[0].name])
    pq.write_table(lacking.slice(0, 0), short / "part-0.parquet")  # of no rows, so nothing is asked of it
    pq.write_table(lacking, short / "part-1.parquet")
    with pytest.raises(TrainingSetError, match=rf"part-1\.parquet lacks .*{signature.inputs[0].name}"):
        TrainingSet(short, signature)


def test_a_model_takes_any_ordered_part_of_what_was_logged(training_set: Path, signature: Signature) -> None:
    part = Signature("other", tuple(reversed(signature.inputs[::2])))
    whole, own = TrainingSet(training_set, signature), TrainingSet(training_set, part)
    everything, some = whole.read(Part.TRAIN).tensors, own.read(Part.TRAIN).tensors
    for role in ("dense", "sparse", "list", "embedding"):
        expected = {
            i.name: everything.of(role)[:, signature.starts[i.view, i.name] :][:, : i.width]
            for i in signature.role(role)
        }
        taken = [expected[i.name] for i in part.role(role)]
        np.testing.assert_array_equal(some.of(role), np.concatenate([np.zeros((len(some.dense), 0)), *taken], axis=1))


def test_rows_from_before_a_feature_was_logged_are_counted_and_left_out(
    tmp_path: Path, signature: Signature, write: Callable[..., Path]
) -> None:
    folder = write(tmp_path / "set", signature, rows=1000)
    set_status(folder, "d1", slice(0, 100), NOT_LOGGED)
    set_status(folder, "s1", slice(80, 150), NOT_LOGGED)
    set_status(folder, "s2", slice(0, 500), Status.NOT_FOUND)  # missing, but logged as such
    data = TrainingSet(folder, signature)
    assert (data.not_logged, data.left_out) == ({"d1": 100, "s1": 70}, 150)
    assert [data.count(p)[0] for p in Part] == [510, 80, 90, 170]
    assert min(data.read(Part.TRAIN).request) == 15
    assert sum(len(b.label) for b in data.batches(Part.TRAIN, 64, seed=1)) == 510
    without = TrainingSet(folder, Signature("s", tuple(i for i in signature.inputs if i.name not in ("d1", "s1"))))
    assert (without.not_logged, without.left_out) == ({}, 0)


def test_rows_of_which_an_input_was_not_read_are_never_learnt_from(
    tmp_path: Path, signature: Signature, write: Callable[..., Path]
) -> None:
    folder = write(tmp_path / "set", signature, rows=1000)
    set_status(folder, "d1", slice(0, 100), Status.UNREAD)
    set_status(folder, "s1", slice(100, 110), NOT_LOGGED)
    data = TrainingSet(folder, signature)
    assert (data.unread, data.not_logged, data.left_out) == ({"d1": 100}, {"s1": 10}, 110)
    data = TrainingSet(folder, signature, not_logged="missing")
    assert (data.unread, data.left_out) == ({"d1": 100}, 100)
    assert sum(data.count(p)[0] for p in Part) == 900
    without = TrainingSet(folder, Signature("s", tuple(i for i in signature.inputs if i.name != "d1")))
    assert (without.unread, without.left_out) == ({}, 10)


def test_rows_from_before_a_feature_was_logged_can_be_kept_as_missing(
    tmp_path: Path, signature: Signature, write: Callable[..., Path]
) -> None:
    folder = write(tmp_path / "set", signature, rows=1000)
    set_status(folder, "d1", slice(0, 100), NOT_LOGGED)
    data = TrainingSet(folder, signature, not_logged="missing")
    assert (data.not_logged, data.left_out) == ({"d1": 100}, 0)
    assert sum(data.count(p)[0] for p in Part) == 1000


def test_an_input_that_was_never_logged_is_refused_or_always_missing(
    tmp_path: Path, generate: Callable[..., Signature], write: Callable[..., Path]
) -> None:
    folder = write(tmp_path / "set", generate(dense=2, embeddings=0), rows=100, files=1)
    wider = with_default(generate(dense=3, embeddings=1), "d2", 0.25)
    with pytest.raises(TrainingSetError, match=r"never logged with .*d2.*drop"):
        TrainingSet(folder, wider)
    data = TrainingSet(folder, wider, (1.0, 0.0, 0.0), "missing")
    assert data.not_logged == {"d2": 100, "e0": 100}
    tensors = data.read(Part.TRAIN).tensors
    assert (tensors.dense[:, wider.starts["v", "d2"]] == 0.25).all()
    assert (tensors.embeddings == 0).all()


def test_a_set_in_which_no_row_has_all_inputs_is_refused(
    tmp_path: Path, signature: Signature, write: Callable[..., Path]
) -> None:
    folder = write(tmp_path / "set", signature, rows=100, files=1)
    set_status(folder, "d1", slice(0, 60), NOT_LOGGED)
    set_status(folder, "s1", slice(40, 100), NOT_LOGGED)
    with pytest.raises(TrainingSetError, match=r"no row in which all .*'d1': 60"):
        TrainingSet(folder, signature)


def test_of_two_features_of_one_name_the_model_takes_the_one_it_means(
    tmp_path: Path, generate: Callable[..., Signature], write: Callable[..., Path]
) -> None:
    signature = generate(dense=2)
    old = replace(signature.inputs[0], made="another window")
    folder = write(tmp_path / "set", signature, rows=50, files=1)
    table = pq.read_table(folder / "part-0.parquet")
    both = Contract.union(signature, Signature("old", (old,)))
    column = column_names(both)[old.identity]
    assert column.startswith(f"{old.name}@")
    columns = {**dict(zip(table.column_names, table.columns, strict=True))}
    columns |= {column: pa.array(np.full(50, 7, np.float32)), status_column(column): columns["d0__status"]}
    pq.write_table(pa.table(columns).replace_schema_metadata({"contract": both.to_json()}), folder / "part-0.parquet")
    taken = TrainingSet(folder, Signature("s", (old,)), (1.0, 0.0, 0.0)).read(Part.TRAIN).tensors
    assert (taken.dense == 7).all()
    with pytest.raises(TrainingSetError, match="takes d0 twice"):
        TrainingSet(folder, Signature("s", (old, signature.inputs[0])))
