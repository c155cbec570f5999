from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adfeast.contract.signature import Signature
from training.model.dataset import Part, TrainingSet
from training.model.errors import TrainingSetError


def test_columns_stand_in_the_order_of_the_signature(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set)
    assert data.signature == signature
    batch = data.read(Part.TRAIN)
    table = pq.read_table([training_set / "part-0.parquet", training_set / "part-1.parquet"])
    rows = np.flatnonzero(data.part == Part.TRAIN)
    for role in ("dense", "sparse", "list", "embedding"):
        columns = [np.stack(table[i.name].to_pylist()).reshape(-1, i.width) for i in signature.role(role)]
        tensor = batch.tensors.of(role)
        np.testing.assert_array_equal(tensor, np.concatenate(columns, axis=1)[rows].astype(tensor.dtype))


def test_parts_follow_each_other_in_time_and_keep_requests_whole(training_set: Path) -> None:
    data = TrainingSet(training_set, (0.5, 0.3, 0.2))
    assert [data.count(p)[0] for p in Part] == [3000, 1800, 1200]
    requests = [set(data.read(p).request.tolist()) for p in Part]
    assert not requests[0] & requests[1]
    assert not requests[1] & requests[2]
    times = np.concatenate(
        [pq.read_table(f)["event_timestamp"].to_numpy() for f in sorted(training_set.glob("part-*"))]
    )
    assert times[data.part == Part.TRAIN].max() < times[data.part == Part.CALIBRATION].min()
    assert times[data.part == Part.CALIBRATION].max() < times[data.part == Part.HELD_OUT].min()


def test_a_shuffled_pass_sees_each_row_once_and_repeats_for_a_seed(training_set: Path) -> None:
    data = TrainingSet(training_set)

    def dense(seed: int | None) -> np.ndarray:
        return np.concatenate([b.tensors.dense for b in data.batches(Part.TRAIN, 100, seed, buffer=2)])

    ordered = dense(None)
    np.testing.assert_array_equal(ordered, data.read(Part.TRAIN).tensors.dense)
    shuffled = dense(7)
    np.testing.assert_array_equal(shuffled, dense(7))
    assert not np.array_equal(shuffled, ordered)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(ordered, axis=0))


def test_downsampling_drops_only_rows_without_a_click(training_set: Path) -> None:
    data = TrainingSet(training_set)
    rows, clicks = data.count(Part.TRAIN)
    labels = np.concatenate([b.label for b in data.batches(Part.TRAIN, 100, 1, negative_rate=0.2)])
    assert labels.sum() == clicks
    assert len(labels) - clicks == pytest.approx(0.2 * (rows - clicks), rel=0.15)


def test_nulls_become_what_is_served_for_a_missing_value(
    tmp_path: Path, generate: Callable[..., Signature], write: Callable[..., Path]
) -> None:
    signature = generate(dense=1, sparse=1, lists=1, embeddings=1)
    folder = write(tmp_path / "set", signature, rows=50, files=1)
    table = pq.read_table(folder / "part-0.parquet")
    for i in signature.inputs:
        column = table[i.name].to_pylist()
        column[5] = None
        kind = table[i.name].type
        if i.width > 1:  # as Spark writes lists; Arrow itself cannot read a null list of fixed size back from Parquet
            kind = pa.list_(kind.value_type)
        table = table.set_column(table.schema.get_field_index(i.name), i.name, pa.array(column, kind))
    pq.write_table(table, folder / "part-0.parquet")
    tensors = TrainingSet(folder, (1.0, 0.0, 0.0)).read(Part.TRAIN).tensors
    assert tensors.dense[5].tolist() == [0.0]
    assert tensors.ids[5].tolist() == [-1]
    assert (tensors.lists[5] == -1).all()
    assert (tensors.embeddings[5] == 0).all()
    assert (tensors.embeddings[6] != 0).all()


def test_a_folder_that_is_no_training_set_is_refused(
    tmp_path: Path, generate: Callable[..., Signature], write: Callable[..., Path]
) -> None:
    with pytest.raises(TrainingSetError, match="no rows"):
        TrainingSet(tmp_path)
    mixed = write(tmp_path / "mixed", generate(dense=2), rows=40, files=1)
    other = write(tmp_path / "other", generate(dense=3), rows=40, files=1)
    (other / "part-0.parquet").rename(mixed / "part-9.parquet")
    with pytest.raises(TrainingSetError, match="one signature"):
        TrainingSet(mixed)
    signature = generate()
    short = write(tmp_path / "short", signature, rows=40, files=1)
    table = pq.read_table(short / "part-0.parquet")
    lacking = table.drop_columns([signature.inputs[0].name])
    pq.write_table(lacking.slice(0, 0), short / "part-0.parquet")  # of no rows, so nothing is asked of it
    pq.write_table(lacking, short / "part-1.parquet")
    with pytest.raises(TrainingSetError, match=rf"part-1\.parquet lacks .*{signature.inputs[0].name}"):
        TrainingSet(short)
