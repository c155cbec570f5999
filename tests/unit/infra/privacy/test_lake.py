"""A file without a user's rows is otherwise the file that it was."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from infra.privacy import lake
from infra.privacy.errors import FileChanged, RowsLost
from infra.privacy.lake import Part, parts, rewrite
from tests.unit.infra.privacy.small import KEY, LEAVES, STAYS, Small, make, rows, users_of, write

FILE = "training_sets/n/part-2.parquet"
WHEN = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return make(tmp_path)


def of(small: Small, file: str) -> Part:
    [found] = [
        p for p in parts(small.deployment.settings, str(small.lake), {KEY}, LEAVES) if p.path == str(small.lake / file)
    ]
    return found


def wide() -> pa.Table:
    """Every type that our jobs write, and metadata, as a training set has them."""
    users = [LEAVES, STAYS, None, LEAVES, "another"]
    table = pa.table(
        {
            KEY: users,
            "at": pa.array([WHEN] * 5, pa.timestamp("us", "UTC")),
            "status": pa.array(range(5), pa.uint8()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(10, dtype=np.float32)), 2),
            "ids": pa.array([[1], [], None, [2, 3], [4]], pa.list_(pa.int64())),
            "ratio": pa.array([0.5, None, 1.5, 2.5, 3.5], pa.float64()),
        }
    )
    return table.replace_schema_metadata({"statuses": "2 present", "org.apache.spark.version": "4"})


@pytest.mark.parametrize("codec", ["snappy", "zstd", "none"])
def test_all_other_rows_keep_their_values_order_types_groups_and_metadata(small: Small, codec: str) -> None:
    file = write(small.lake / FILE, wide(), compression=codec, row_group_size=2)
    before = pq.read_table(file, partitioning=None)
    rewrite(of(small, FILE), LEAVES, lambda: None)
    after, meta = pq.read_table(file, partitioning=None), pq.read_metadata(file)
    assert after.equals(before.take([1, 2, 4]), check_metadata=True)
    assert (meta.num_row_groups, meta.row_group(0).column(0).compression) == (
        3,
        codec.upper().replace("NONE", "UNCOMPRESSED"),
    )


def test_old_timestamps_stay_readable_by_spark(small: Small) -> None:
    file = write(small.lake / FILE, wide(), use_deprecated_int96_timestamps=True)
    rewrite(of(small, FILE), LEAVES, lambda: None)
    assert pq.ParquetFile(file).schema.column(1).physical_type == "INT96"


def test_a_file_of_one_user_only_stays_as_an_empty_one(small: Small) -> None:
    name = "features/clicked/date=2026-03-01/part-1.parquet"
    rewrite(of(small, name), LEAVES, lambda: None)
    assert (users_of(small.lake / name), pq.read_schema(small.lake / name).names) == ([], [KEY, "n"])


def test_a_user_is_found_in_a_column_of_numbers(small: Small) -> None:
    file = write(small.lake / FILE, pa.table({KEY: [7, 8, 7]}))
    [part] = parts(small.deployment.settings, str(small.lake), {KEY}, "7")
    rewrite(part, "7", lambda: None)
    assert (part.rows, pq.read_table(file).column(KEY).to_pylist()) == (2, [8])


def test_a_user_in_any_of_two_columns_is_found(small: Small) -> None:
    file = write(
        small.lake / FILE, pa.table({KEY: [LEAVES, STAYS, None, STAYS], "user_id": [STAYS, None, LEAVES, STAYS]})
    )
    [part] = [
        p for p in parts(small.deployment.settings, str(small.lake), {KEY, "user_id"}, LEAVES) if p.path == str(file)
    ]
    rewrite(part, LEAVES, lambda: None)
    assert (part.rows, pq.read_table(file).column("user_id").to_pylist()) == (2, [None, STAYS])


def test_an_object_store_gets_the_new_object_under_the_old_name(tmp_path: Path) -> None:
    # Not a folder of this machine to the code, as S3 is not one.
    store = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    file = write(tmp_path / "part.parquet", rows(LEAVES, STAYS))
    rewrite(Part(store, "part.parquet", "t", (KEY,), 1, 2), LEAVES, lambda: None)
    assert (users_of(file), os.listdir(tmp_path)) == ([STAYS], ["part.parquet"])


@pytest.mark.parametrize("local", [True, False])
def test_a_file_that_was_replaced_meanwhile_is_left_as_it_is(tmp_path: Path, local: bool) -> None:
    file = write(tmp_path / "part.parquet", rows(LEAVES, STAYS))
    store = pafs.LocalFileSystem() if local else pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    part = Part(store, str(file) if local else file.name, "t", (KEY,), 1, 2)
    with pytest.raises(FileChanged, match=r"part\.parquet"):
        rewrite(part, LEAVES, lambda: write(file, rows("a", "b", "c")) and None)
    assert (users_of(file), os.listdir(tmp_path)) == (["a", "b", "c"], ["part.parquet"])


def test_a_file_that_would_lose_rows_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "part.parquet", rows(LEAVES, STAYS))
    monkeypatch.setattr(lake, "_copy", lambda *_: 0)
    with pytest.raises(RowsLost, match="0 of 1"):
        rewrite(Part(pafs.LocalFileSystem(), str(file), "t", (KEY,), 1, 2), LEAVES, lambda: None)
    assert (users_of(file), os.listdir(tmp_path)) == ([LEAVES, STAYS], ["part.parquet"])


def test_the_sums_by_which_spark_checks_a_file_go_with_it(small: Small) -> None:
    sums = small.lake / "batch/view_of_old/as_of=20260301T000000/.part-1.parquet.crc"
    sums.write_bytes(b"of the old file")
    rewrite(of(small, "batch/view_of_old/as_of=20260301T000000/part-1.parquet"), LEAVES, lambda: None)
    assert not sums.exists()


def test_what_killed_jobs_left_goes_and_what_others_deliver_stays(small: Small) -> None:
    ours = [
        write(small.lake / f, rows(LEAVES))
        for f in ("training_sets/_staging/n-1/p.parquet", "batch/v/.p.parquet.forget")
    ]
    theirs = write(small.lake / "tables/_staging/users/p.parquet", rows(LEAVES))
    unfinished = write(small.lake / "events/clicks/date=2026-03-01/.part-9.parquet.inprogress.1", rows(LEAVES))
    lake.sweep(small.deployment.settings, small.deployment.definitions)
    assert ([f.exists() for f in ours], theirs.exists(), unfinished.exists()) == ([False, False], True, True)
