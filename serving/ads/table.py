"""A table of ads in a file that one process writes and any number read, through shared memory.

A row is an ad's features of both tiers, each feature in the array of its role (as in `serving.features.columns.Rows`).
A slot, once given to an ad, is its for the life of the file. Nobody waits for anybody: each row has a sequence number
that is odd while the row is written. A reader that finds it odd, or changed when it has copied the row, has copied
something torn and does not use it. So does one that comes after the writer died in the middle: the number stays odd.

The order of stores is what makes this right: x86-64 keeps that of each process as all others see it. An ad is put into
the index after its row is whole, so what is found is complete. A file of an earlier boot is not believed: the kernel
writes pages in any order, so what a machine left behind may be torn where no number says so.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmh3
import numpy as np
from numpy.typing import NDArray

from adfeast.contract.signature import Role
from serving.ads.layout import ROLES, PartLayout, TableLayout
from serving.ads.places import HEAD_BYTES, KEY_BYTES, Place, places
from serving.errors import TableUnusable
from serving.features.columns import Rows

TOGETHER = 64  # rows that are torn at a time while many are written: tens of microseconds
MEMO = 1 << 18  # ads whose slot a process has at hand
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MAGIC = 0x53444145464441
_WORDS = 8  # int64 each: magic, bytes of the text, ads, milliseconds of the batch side, spare
_ADS, _BATCH_MS = 2, 3


@dataclass(frozen=True)
class Part:
    """The arrays of one tier, a row a slot. `present` says what is stored; the rest is as in `Rows`."""

    layout: PartLayout
    arrays: dict[Role, NDArray[Any]]
    present: NDArray[np.bool_]
    times: NDArray[np.int64]


class Table:
    """A mapped file, to be read.

    Attributes:
        layout: what stands in it; `parts` the arrays, by tier.
        marks: for each tier, int64 [views]: the watermark up to which the rows hold what came, 0 while none is known.

    Raises:
        TableUnusable: it is no table, of another form, or of an earlier boot of the machine.
    """

    def __init__(self, file: Path, *, write: bool = False) -> None:
        self.file = file
        access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
        try:
            with file.open("r+b" if write else "rb") as opened:
                self._memory = mmap.mmap(opened.fileno(), 0, access=access)
            words = np.frombuffer(self._memory, np.int64, _WORDS)
            if words[0] != _MAGIC:
                raise ValueError("no table of ads")
            head = json.loads(self._memory[8 * _WORDS : 8 * _WORDS + int(words[1])])
            self.layout = TableLayout.from_json(head["layout"])
            if head["boot"] != _BOOT.read_text():
                raise ValueError("of an earlier boot, after which nobody knows what of it is whole")
        except (OSError, ValueError, KeyError) as error:
            raise TableUnusable(f"{file}: {error}") from error
        self.capacity = int(head["capacity"])
        self._words, self._known = words, dict[str, int]()
        self._take_arrays()

    def _take_arrays(self) -> None:
        self.marks: dict[str, NDArray[np.int64]] = {}
        self.parts: dict[str, Part] = {}
        found = {name: self._array(place) for name, place in places(self.layout, self.capacity).items()}
        self._keys, self._index, self._sequence = found["keys"], found["index"], found["sequence"]
        for tier, part in self.layout.parts.items():
            arrays = {role: found[f"{tier}.{role}"] for role in ROLES}
            self.parts[tier] = Part(part, arrays, found[f"{tier}.present"], found[f"{tier}.times"])
            self.marks[tier] = found[f"{tier}.marks"]

    def _array(self, place: Place) -> NDArray[Any]:
        size = int(np.prod(place.shape))
        return np.frombuffer(self._memory, place.dtype, size, place.offset).reshape(place.shape)

    def __len__(self) -> int:
        """Slots that were given away."""
        return int(self._words[_ADS])

    @property
    def batch_ms(self) -> int:
        """Wall-clock milliseconds at which the batch side was last known to be as published; 0: never."""
        return int(self._words[_BATCH_MS])

    def find(self, keys: Sequence[str]) -> NDArray[np.intp]:
        """The slot of each ad, -1 for those that are not here."""
        get = self._known.get
        slots = np.fromiter([get(key, -1) for key in keys], np.intp, len(keys))
        for i in np.flatnonzero(slots < 0).tolist():
            slots[i] = self._look_up(keys[i])
        return slots

    def _look_up(self, key: str) -> int:
        data = key.encode()
        if not fits(data):
            return -1
        index, mask = self._index, len(self._index) - 1
        at = _hash(data) & mask
        while entry := int(index[at]):
            if self._keys[entry - 1] == data:
                if len(self._known) >= MEMO:
                    self._known.clear()
                self._known[key] = entry - 1
                return entry - 1
            at = (at + 1) & mask
        return -1

    def sequence(self, slots: NDArray[np.intp]) -> NDArray[np.int64]:
        """The rows' numbers; odd while they are written."""
        return self._sequence.take(slots)

    def ads(self) -> list[str]:
        """The ids of all ads."""
        return [key.decode(errors="ignore") for key in self._keys[: len(self)].tolist() if key]


class WrittenTable(Table):
    """The same, for the one process that writes it."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, write=True)

    @classmethod
    def create(cls, file: Path, layout: TableLayout, capacity: int) -> WrittenTable:
        """A new one without ads; the file takes disk or memory only for the rows that come."""
        text = json.dumps({"layout": layout.text, "capacity": capacity, "boot": _BOOT.read_text()}).encode()
        if 8 * _WORDS + len(text) > HEAD_BYTES:
            raise TableUnusable(f"{file}: the definitions have more ad features than a table's head can name")
        size = max(place.offset + place.bytes for place in places(layout, capacity).values())
        new = file.with_suffix(".new")
        with new.open("wb") as made:
            made.write(np.array([_MAGIC, len(text), *[0] * (_WORDS - 2)], np.int64).tobytes() + text)
            made.truncate(size)
        os.replace(new, file)
        return cls(file)

    @property
    def room(self) -> int:
        """Ads that can still be added."""
        return self.capacity - len(self)

    def torn(self) -> list[str]:
        """Ads whose row an earlier writer left half written."""
        slots = np.flatnonzero(self._sequence[: len(self)] & 1)
        return [key.decode(errors="ignore") for key in self._keys[slots].tolist() if key]

    def checked(self, at_ms: int) -> None:
        """Says that the batch side holds everything that was published until then."""
        self._words[_BATCH_MS] = at_ms

    def put(self, keys: Sequence[str], rows: dict[str, Rows]) -> None:
        """Sets whole rows of ads, each named once; those that are new come in while there is room.

        Args:
            rows: for each tier, as many rows as keys.
        """
        slots = self.find(keys)
        new = [i for i in np.flatnonzero(slots < 0).tolist() if fits(keys[i].encode())]
        new = new[: self.room]
        first = len(self)
        # Given away before they are used: whoever comes after a crash must not give them to another ad.
        self._words[_ADS] = first + len(new)
        for slot, i in enumerate(new, first):
            slots[i] = slot
            self._keys[slot] = keys[i].encode()
        kept = np.flatnonzero(slots >= 0)
        for start in range(0, len(kept), TOGETHER):
            some = kept[start : start + TOGETHER]
            with Writing(self, slots[some]):
                for tier, found in rows.items():
                    self._set(self.parts[tier], slots[some], found, some)
        for i in new:
            self._publish(keys[i], int(slots[i]))

    def _set(self, part: Part, slots: NDArray[np.intp], rows: Rows, which: NDArray[np.intp]) -> None:
        for role, array in part.arrays.items():
            if array.shape[1]:
                array[slots] = rows.arrays[role][which]
        part.present[slots] = ~rows.absent[which]
        part.times[slots] = rows.times[which]

    def _publish(self, key: str, slot: int) -> None:
        index, mask = self._index, len(self._index) - 1
        at = _hash(key.encode()) & mask
        while index[at]:
            at = (at + 1) & mask
        index[at] = slot + 1


class Writing:
    """Marks rows as torn while the block runs; if it ends with an exception, as if the process had died in it."""

    def __init__(self, table: WrittenTable, slots: NDArray[np.intp]) -> None:
        self._sequence, self._slots = table._sequence, slots

    def __enter__(self) -> None:
        self._odd = self._sequence[self._slots] | 1
        self._sequence[self._slots] = self._odd

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._sequence[self._slots] = self._odd + 1


def fits(key: bytes) -> bool:
    """Whether an id can stand in a table: numpy drops zeros at the end of a text."""
    return 0 < len(key) <= KEY_BYTES and key[-1] != 0


def _hash(key: bytes) -> int:
    return int(mmh3.hash64(key, signed=False)[0])
