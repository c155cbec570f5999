"""Finds and opens Parquet tables of the lake: a folder or an `s3://` prefix, with or without hive partitions.

Only finished files count: names that start with `.` or `_` belong to a writer that is not done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs

if TYPE_CHECKING:
    from adfeast.settings import Settings

STAGING = "_staging"  # folder in which a job writes what it then moves to its place


def filesystem(settings: Settings, url: str) -> tuple[pafs.FileSystem, str]:
    """The file system that holds `url`, and the path in it."""
    if not url.startswith("s3://"):
        return pafs.LocalFileSystem(), url.removeprefix("file://")
    # Without keys Arrow looks for them in AWS's usual places.
    s3 = pafs.S3FileSystem(
        access_key=settings.aws_access_key_id,
        secret_key=settings.aws_secret_access_key,
        region=settings.aws_region,
        endpoint_override=settings.s3_endpoint,
    )
    return s3, url.removeprefix("s3://")


def interval_name(end: datetime) -> str:
    """The partition of the interval that ends at `end`."""
    return f"as_of={end:%Y%m%dT%H%M%S}"


def interval_folder(table: str, end: datetime) -> str:
    """Where the rows of an interval of a batch view lie."""
    return f"{table}/{interval_name(end)}"


def parquet_files(fs: pafs.FileSystem, path: str) -> list[str]:
    """Finished Parquet files below `path`, sorted; none when it does not exist."""
    found = fs.get_file_info(pafs.FileSelector(path, allow_not_found=True, recursive=True))
    names = [f.path for f in found if f.type == pafs.FileType.File and f.path.endswith(".parquet")]
    return sorted(n for n in names if not any(part[0] in "._" for part in _below(n, path).split("/")))


@contextmanager
def as_folder(settings: Settings, url: str) -> Iterator[Path]:
    """The finished files below `url` in a folder of this machine: its own, or a copy for as long as the block."""
    fs, path = filesystem(settings, url)
    if isinstance(fs, pafs.LocalFileSystem):
        yield Path(path)
        return
    with TemporaryDirectory() as folder:
        for name in parquet_files(fs, path):
            target = Path(folder) / _below(name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            pafs.copy_files(name, str(target), source_filesystem=fs, destination_filesystem=pafs.LocalFileSystem())
        yield Path(folder)


def open_table(settings: Settings, url: str, types: dict[str, pa.DataType]) -> pads.Dataset | pa.Table:
    """Exactly the columns of `types`; one that a file lacks is null there (a feature that was added later).

    A type of `pa.null()` means: the type the files have, or text where none has the column.
    """
    fs, path = filesystem(settings, url)
    files = parquet_files(fs, path)
    found = _file_types(fs, files) if any(t == pa.null() for t in types.values()) else {}
    schema = pa.schema([(n, found.get(n, pa.string()) if t == pa.null() else t) for n, t in types.items()])
    if not files:
        return schema.empty_table()
    return pads.dataset(files, schema=schema, filesystem=fs, format="parquet")


def _file_types(fs: pafs.FileSystem, files: list[str]) -> dict[str, pa.DataType]:
    # One footer a folder: the files of a partition were written by one job with one schema.
    types: dict[str, pa.DataType] = {}
    for file in {f.rsplit("/", 1)[0]: f for f in files}.values():
        types |= {field.name: field.type for field in pads.dataset(file, filesystem=fs, format="parquet").schema}
    return types


def _below(name: str, path: str) -> str:
    return name.removeprefix(path.rstrip("/")).lstrip("/")
