"""Takes the rows of one user out of the lake's Parquet files, a file at a time, each replaced at once.

Every table of the lake that has a column of the user's id is looked through, also what nobody defines any more. A file
that has no row left stays as an empty one: the archive job, if it begins again from an older state, looks whether the
files that it has finished are there. (On S3 also whether they have the size that it gave them: see waiting.py.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from adfeast.contract.definitions import Definitions
from adfeast.lake import STAGING, filesystem, parquet_files
from adfeast.settings import Settings
from infra.privacy.errors import FileChanged, RowsLost

UNFINISHED = ".forget"  # ending of a file that is being written beside the one it replaces
LEFT = (STAGING, "_temporary")  # where our jobs, and Spark below them, keep what is not in its place yet


@dataclass(frozen=True)
class Part:
    """A Parquet file that holds rows of a user.

    Attributes:
        table: the folder of its table, below the lake.
        columns: those that hold users.
        rows: those of the user; `before` all of them.
    """

    fs: pafs.FileSystem
    path: str
    table: str
    columns: tuple[str, ...]
    rows: int
    before: int


def roots(settings: Settings, definitions: Definitions) -> list[str]:
    """The lake, and the delivered tables that lie elsewhere."""
    lake = settings.lake.rstrip("/")
    return [lake, *sorted(t.url for t in definitions.tables.values() if not f"{t.url}/".startswith(f"{lake}/"))]


def parts(settings: Settings, url: str, columns: Collection[str], user: str) -> Iterator[Part]:
    """The finished files below `url` that hold the user."""
    fs, path = filesystem(settings, url)
    for file in parquet_files(fs, path):
        dataset = pads.dataset(file, filesystem=fs, format="parquet")
        own = tuple(sorted(set(columns) & set(dataset.schema.names)))
        if own and (rows := dataset.count_rows(filter=_is(dataset.schema, own, user))):
            yield Part(fs, file, _table(file, path), own, rows, dataset.count_rows())


def rewrite(part: Part, user: str, check: Callable[[], None]) -> None:
    """Replaces a file by one without the user's rows; whoever reads it sees the one or the other.

    Args:
        check: called right before it is replaced; what it raises leaves the file as it is.

    Raises:
        RowsLost, FileChanged: it is left as it is.
    """
    before = _stands(part)

    def ready(written: int) -> None:
        kept = part.before - part.rows
        if written != kept:
            raise RowsLost(f"{part.path}: {written} of {kept} other rows were written; the file was left as it is")
        check()
        if _stands(part) != before:
            raise FileChanged(f"{part.path} was replaced meanwhile: run it again")

    with part.fs.open_input_file(part.path) as source:
        file = pq.ParquetFile(source)
        if isinstance(part.fs, pafs.LocalFileSystem):
            _replace_file(part, file, user, ready)
        else:
            _replace_object(part, file, user, ready)


def sweep(settings: Settings, definitions: Definitions) -> None:
    """Removes what killed jobs left in the lake on the way to its place; only while none of them is at work.

    What other teams deliver, and what lies beside it, is left alone but for files of our own.
    """
    fs, path = filesystem(settings, settings.lake)
    found = fs.get_file_info(pafs.FileSelector(path, allow_not_found=True, recursive=True))
    theirs = [filesystem(settings, t.url)[1].rstrip("/") for t in definitions.tables.values()]
    for info in found:
        if info.type == pafs.FileType.File and info.path.endswith(UNFINISHED):
            fs.delete_file(info.path)
    for info in found:
        left = info.type == pafs.FileType.Directory and info.base_name in LEFT
        if left and any(f"{info.path}/".startswith((f"{t}/", f"{_folder(t)}/{info.base_name}/")) for t in theirs):
            continue
        if left and fs.get_file_info(info.path).type == pafs.FileType.Directory:  # not gone with one around it
            fs.delete_dir(info.path)


def _replace_file(part: Part, file: Any, user: str, ready: Callable[[int], None]) -> None:
    beside = _sibling(part.path, UNFINISHED)
    try:
        with open(beside, "wb") as sink:
            written = _copy(file, sink, part.columns, user)
            sink.flush()
            os.fsync(sink.fileno())
        ready(written)
        # Spark checks a file by the sums beside it, where there are some.
        Path(_sibling(part.path, ".crc")).unlink(missing_ok=True)
        os.replace(beside, part.path)
    finally:
        Path(beside).unlink(missing_ok=True)


def _replace_object(part: Part, file: Any, user: str, ready: Callable[[int], None]) -> None:
    # An object that was begun is put in its place at the end, whatever happened: it is begun when it is whole.
    whole = pa.BufferOutputStream()
    ready(_copy(file, whole, part.columns, user))
    with part.fs.open_output_stream(part.path) as sink:
        sink.write(whole.getvalue())


def _copy(file: Any, sink: Any, columns: Sequence[str], user: str) -> int:
    """Writes all other rows as they are, in the groups and with the metadata that they have; returns how many."""
    meta, schema = file.metadata, file.schema_arrow
    codec = meta.row_group(0).column(0).compression.lower() if meta.num_row_groups else "snappy"
    int96 = any(file.schema.column(i).physical_type == "INT96" for i in range(len(file.schema)))
    options = {"compression": "none" if codec == "uncompressed" else codec, "use_deprecated_int96_timestamps": int96}
    written = 0
    with pq.ParquetWriter(sink, schema, **options) as writer:
        for group in range(meta.num_row_groups):
            table = file.read_row_group(group)
            others = table
            for column in columns:
                same = pc.equal(pc.cast(others.column(column), pa.string()), user)
                others = others.filter(pc.invert(pc.fill_null(same, False)))
            written += others.num_rows
            if others.num_rows:
                writer.write_table(others)
    return written


def _is(schema: pa.Schema, columns: Sequence[str], user: str) -> pc.Expression:
    found = None
    for column in columns:
        field = pc.field(column)
        one = (field if pa.types.is_string(schema.field(column).type) else field.cast(pa.string())) == user
        found = one if found is None else found | one
    return found


def _stands(part: Part) -> tuple[int, int]:
    info = part.fs.get_file_info(part.path)
    return info.size, info.mtime_ns


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _sibling(path: str, ending: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{ending}")


def _table(file: str, root: str) -> str:
    """The folders of a file without its partitions (`name=value`)."""
    folders = file.removeprefix(root.rstrip("/")).strip("/").split("/")[:-1]
    return "/".join(f for f in folders if "=" not in f) or root
