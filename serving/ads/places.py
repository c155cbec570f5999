"""Where in a table's file each array lies."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np

from adfeast.contract.signature import DTYPES
from serving.ads.layout import ROLES, TableLayout

KEY_BYTES = 64  # a longer id is left to the stores
HEAD_BYTES = 1 << 17


def bytes_an_ad(layout: TableLayout) -> int:
    """What one ad takes in the file."""
    return KEY_BYTES + 8 + sum(part.row_bytes for part in layout.parts.values())


@dataclass(frozen=True)
class Place:
    """An array in the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def bytes(self) -> int:
        """Its size."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


def places(layout: TableLayout, capacity: int) -> dict[str, Place]:
    """Where each array begins: on a page of its own, so that what is not used is no memory."""
    wanted: list[tuple[str, str, tuple[int, ...]]] = [
        ("index", "int64", (1 << (2 * capacity - 1).bit_length(),)),
        ("keys", f"S{KEY_BYTES}", (capacity,)),
        ("sequence", "int64", (capacity,)),
    ]
    for tier, part in layout.parts.items():
        wanted += [(f"{tier}.{role}", DTYPES[role], (capacity, part.width(role))) for role in ROLES]
        wanted.append((f"{tier}.present", "bool", (capacity, len(part.columns))))
        wanted.append((f"{tier}.times", "int64", (capacity, len(part.views))))
        wanted.append((f"{tier}.marks", "int64", (len(part.views),)))
    found, at = {}, HEAD_BYTES
    for name, dtype, shape in wanted:
        found[name] = place = Place(dtype, shape, at)
        at += -(-place.bytes // mmap.PAGESIZE) * mmap.PAGESIZE
    return found
