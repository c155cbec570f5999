"""The values of a request's candidates as four tensors, and how a model's inputs are taken out of them.

In the log a value that is missing, too old, stale or unread is NaN (dense), -1 (ids, lists) or zeros (embeddings), with
a status that says why; what a model is given instead is the model's matter: the default that its signature names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.signature import AD, TENSORS, Contract, Role, Signature
from adfeast.errors import NotLogged

Columns = slice | NDArray[np.intp]


class Status(IntEnum):
    """Where a served value came from; the numbers are Feast's FieldStatus, which has neither `STALE` nor `UNREAD`."""

    PRESENT = 2
    NOT_FOUND = 4  # no row, a null, or a stored value that cannot be read
    OUTSIDE_MAX_AGE = 5  # too old, or from the future
    STALE = 6  # its view's watermark lies further behind than the view promises, so nobody knows the value (ADR 11)
    UNREAD = 7  # its store was away or too slow: there may be a value, and nobody has looked (ADR 14)

    @property
    def text(self) -> str:
        """As people read it."""
        return {2: "present", 4: "missing", 5: "too old", 6: "stale", 7: "unread"}[self]


@dataclass(frozen=True)
class Tensors:
    """Values of B rows: dense float32 [B, D], ids int64 [B, S], lists int64 [B, L], embeddings float32 [B, E]."""

    dense: NDArray[np.float32]
    ids: NDArray[np.int64]
    lists: NDArray[np.int64]
    embeddings: NDArray[np.float32]

    def of(self, role: Role) -> NDArray[Any]:
        """The tensor of one role."""
        return getattr(self, TENSORS[role])  # type: ignore[no-any-return]


class Selection:
    """Takes the inputs of one model out of what a contract holds; every position is worked out once.

    Raises:
        NotLogged: the contract lacks an input; the message names all that are lacking.
    """

    def __init__(self, contract: Contract, signature: Signature) -> None:
        known = {i.identity for i in contract.inputs}
        if lacking := [i.name for i in signature.inputs if i.identity not in known]:
            raise NotLogged(f"the contract {contract.hash[:12]} does not hold the inputs {', '.join(lacking)}")
        self._columns: dict[Role, Columns] = {}
        for role in TENSORS:
            at: list[int] = []
            for i in signature.role(role):
                start = contract.starts[i.view, i.name]
                at += range(start, start + i.width)
            self._columns[role] = as_slice(at)
        self._defaults = np.array([i.default for i in signature.role("dense")], np.float32)
        wanted = {i.identity for i in signature.inputs}
        sides = [[i for i in contract.inputs if (i.source == AD) == side] for side in (False, True)]
        self._shared, self._own = (np.array([i in wanted for i in side], np.bool_) for side in sides)

    def take(self, tensors: Tensors) -> Tensors:
        """The model's inputs of B rows, with its default in the place of every missing number."""
        found = {TENSORS[role]: np.ascontiguousarray(tensors.of(role)[:, at]) for role, at in self._columns.items()}
        dense = found["dense"]
        missing = np.isnan(dense)
        if missing.any():
            found["dense"] = np.where(missing, self._defaults, dense)
        return Tensors(**found)

    def unread(self, shared_status: NDArray[np.uint8], ad_status: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Of B rows, bool [B]: an input of the model was not read; statuses as in a snapshot."""
        found: NDArray[np.bool_] = (ad_status[:, self._own] == Status.UNREAD).any(axis=1)
        return found | bool((shared_status[self._shared] == Status.UNREAD).any())


def as_slice(positions: list[int]) -> Columns:
    """A slice where the positions follow each other: numpy then copies blocks instead of single columns."""
    start = positions[0] if positions else 0
    if positions == list(range(start, start + len(positions))):
        return slice(start, start + len(positions))
    return np.array(positions, np.intp)
