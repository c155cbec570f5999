"""Where the state of a job lies between two runs: `<checkpoints>/<job>/<digest>/<lineage>/...`, in a folder or on S3.

A lineage is state that was begun once from nothing: whatever goes on from it stays in it, also under another digest.
Within one, Flink numbers checkpoints and savepoints together, and the number stands in the head of each `_metadata`; so
the newest is known whatever the times of the files say. Beside the state lies the plan that made it, so that a job
which ended anyhow can be taken up again.
"""

from __future__ import annotations

import json
import logging
import re
import struct
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow.fs as pafs

from adfeast.lake import filesystem
from adfeast.settings import Settings
from streaming.plan import Plan

log = logging.getLogger(__name__)
METADATA, BROKEN, PLAN = "_metadata", "_broken", "plan.json"
_HEAD = struct.Struct(">iiq")  # magic number, version, number of the checkpoint (MetadataV3Serializer and later)
_MAGIC = 0x4960672D


@dataclass(frozen=True)
class Retained:
    """A checkpoint or savepoint: `path` as Flink takes it, `digest` and `lineage` of its job, `number` within them."""

    path: str
    digest: str
    lineage: int
    number: int

    @property
    def savepoint(self) -> bool:
        """Whether any state backend can go on from it."""
        return "/savepoints/" in self.path


class JobState:
    """The state that one job of a project left under all its digests.

    Args:
        checkpoints: URL below which all jobs keep theirs.
    """

    def __init__(self, settings: Settings, checkpoints: str, job: str) -> None:
        self.url = f"{checkpoints}/{job}"
        self._fs, self._root = filesystem(settings, self.url)

    def keep(self, plan: Plan, job: str) -> None:
        """Keeps a started plan; call before its job starts, so that whatever state that leaves can be told."""
        spec = plan["jobs"][job]
        file = f"{self._root}/{spec['digest']}/{spec['start']['lineage']}/{PLAN}"
        written = file
        if isinstance(self._fs, pafs.LocalFileSystem):  # elsewhere an object is there as a whole or not at all
            self._fs.create_dir(str(PurePosixPath(file).parent))
            written = f"{file}.new"
        with self._fs.open_output_stream(written) as out:
            out.write(json.dumps(plan).encode())
        if written != file:
            self._fs.move(written, file)

    def kept(self, digest: str, lineage: int) -> Plan | None:
        """The plan of a job that ran here."""
        try:
            with self._fs.open_input_stream(f"{self._root}/{digest}/{lineage}/{PLAN}") as file:
                found: Plan = json.loads(file.read())
        except FileNotFoundError:
            return None
        return found

    def newest(self, digest: str | None = None, *, but: str | None = None) -> Retained | None:
        """What was completed last and can be read, savepoints too; of one digest, or of any `but` one."""
        found = [
            (r.lineage, r.number, written, r.path, r)
            for r, written in self._all()
            if digest in (None, r.digest) and r.digest != but
        ]
        return max(found)[-1] if found else None

    def known(self) -> bool:
        """Whether a job of this name ever ran."""
        return any(name.endswith(f"/{PLAN}") for name, _ in self._files())

    def newest_lineage(self) -> int:
        """The last one that was begun; 0 when there was none."""
        parts = [name.removeprefix(f"{self._root}/").split("/") for name, _ in self._files()]
        return max((int(p[1]) for p in parts if len(p) > 2 and p[1].isdigit()), default=0)

    def next_lineage(self, now_ms: int) -> int:
        """One for a state that begins now: later than every other, whatever the clock says."""
        return max(now_ms, self.newest_lineage() + 1)

    def place(self, digest: str, lineage: int) -> str:
        """Where the checkpoints of a job go, as Flink takes it."""
        return f"{self.url}/{digest}/{lineage}"

    def savepoints(self, digest: str, lineage: int) -> str:
        """Where its savepoints go."""
        return f"{self.place(digest, lineage)}/savepoints"

    def set_aside(self, retained: Retained) -> None:
        """Lets nobody go on from what Flink could not read; the files stay, for whoever wants to know why."""
        _, folder = _located(retained.path)
        if self._fs.get_file_info(f"{folder}/{METADATA}").type == pafs.FileType.File:
            self._fs.move(f"{folder}/{METADATA}", f"{folder}/{BROKEN}")

    def forget(self, digest: str) -> None:
        """Deletes the state of a job that will not go on."""
        folder = f"{self._root}/{digest}"
        if self._fs.get_file_info(folder).type == pafs.FileType.Directory:
            self._fs.delete_dir(folder)

    def _all(self) -> list[tuple[Retained, int]]:
        """Every state that is complete, with the time of its file in nanoseconds."""
        found = []
        for name, written in self._files():
            folder, _, last = name.rpartition("/")
            digest, lineage, *between = folder.removeprefix(f"{self._root}/").split("/")
            kind = between[0] if between and between[0] == "savepoints" else (between or [""])[-1]
            if last != METADATA or not (kind == "savepoints" or kind.startswith("chk-")):
                continue
            number = self._number(name)
            if number is None:
                log.error("%s is no state that Flink wrote to its end: nothing goes on from it", name)
                continue
            path = f"{self.url.removesuffix(self._root)}{folder}"
            found.append((Retained(path, digest, int(lineage), number), written))
        return found

    def _number(self, name: str) -> int | None:
        with self._fs.open_input_stream(name) as file:
            head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        magic, _, number = _HEAD.unpack(head)
        return int(number) if magic == _MAGIC else None

    def _files(self) -> list[tuple[str, int]]:
        selector = pafs.FileSelector(self._root, allow_not_found=True, recursive=True)
        return [(f.path, f.mtime_ns or 0) for f in self._fs.get_file_info(selector) if f.type == pafs.FileType.File]


def read_files(settings: Settings, path: str) -> list[bytes]:
    """Contents of the files of one checkpoint or savepoint.

    Args:
        path: as Flink gives it.
    """
    url, _ = _located(path)
    fs, folder = filesystem(settings, url)
    files = [f.path for f in fs.get_file_info(pafs.FileSelector(folder)) if f.type == pafs.FileType.File]
    return [fs.open_input_stream(name).read() for name in files]


def _located(path: str) -> tuple[str, str]:
    """(URL, path in its file system) of what Flink may write as `file:/folder` or `file:///folder`."""
    url = re.sub(r"^(file:)?/+", "file:///", path)
    return url, url.removeprefix("file://").removeprefix("s3://")
