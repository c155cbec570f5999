"""What a world knows by name, as Arrow columns: of its impressions, its users and its ads (see columns.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.errors import WorldError
from training.world.market import SEGMENTS
from training.world.spec import MS_A_DAY
from training.world.traffic import PAGES, Impressions, World
from training.world.truth import DEVICES, MS_AN_HOUR, PLACEMENTS

CATEGORIES_A_GROUP = 3
Column = Any  # a pyarrow.Array, which has no types
Known = Mapping[str, Callable[[], Column]]


class Quantities:
    """The quantities of one world.

    Args:
        width: columns of an ad's content embedding.
    """

    def __init__(self, world: World, width: int) -> None:
        users, ads, spec = world.truth.users, world.truth.ads, world.truth.spec
        self._seed, self._width = spec.seed, width
        self._names = {
            "user_id": _numbered("u", np.arange(spec.users)),
            "ad_id": _numbered("a", np.arange(spec.ads)),
            "page": _numbered("page", np.arange(PAGES)),
            "placement": pa.array(PLACEMENTS),
            "device": pa.array(DEVICES),
        }
        self.users: Known = {
            "user_id": lambda: self._names["user_id"],
            "site": lambda: _numbered("site", users.site),
        } | {f"segment_{n}": partial(_numbered, "s", users.segment[:, n]) for n in range(SEGMENTS)}
        self.ads: Known = {
            "ad_id": lambda: self._names["ad_id"],
            "campaign": lambda: _numbered("campaign", ads.campaign),
            "category": lambda: _numbered("c", ads.category),
            "group": lambda: _numbered("g", ads.category // CATEGORIES_A_GROUP),
            "score": lambda: pa.array(ads.score.astype(np.float32)),
            "content": lambda: _vectors(ads.content(width, spec.seed)),
        }

    def shown(self, rows: Impressions, first: int) -> Known:
        """Of impressions, the first of which is number `first` of the world; also of their users and ads."""
        number = np.arange(first, first + len(rows))
        known: dict[str, Callable[[], Column]] = {
            "impression_id": lambda: _numbered(f"w{self._seed}-i", number),
            "click_id": lambda: _numbered(f"w{self._seed}-c", number),
            "request_id": lambda: _numbered(f"w{self._seed}-r", rows.request),
            "shown_ms": lambda: pa.array(rows.time_ms),
            "clicked_ms": lambda: pa.array(rows.time_ms + rows.delay_ms),
            "position": lambda: pa.array(rows.position.astype(np.int32)),
            "hour": lambda: pa.array(rows.time_ms % MS_A_DAY // MS_AN_HOUR),
            "empty": lambda: pa.array([""] * len(rows)),
        }
        for name in ("page", "placement", "device"):
            known[name] = partial(self._names[name].take, pa.array(getattr(rows, name)))
        for of, index in ((self.users, rows.user), (self.ads, rows.ad)):
            for name, column in of.items():
                known[name] = partial(_taken, column, index)
        return known


def pick(known: Known, mapping: str, columns: Mapping[str, str], wanted: list[str]) -> dict[str, Column]:
    """The wanted columns by their names in the definitions.

    Raises:
        WorldError: columns.yaml does not fill one, or names what the world does not know.
    """
    found = {}
    for name in wanted:
        if name not in columns:
            raise WorldError(f"{mapping} have a column {name!r}: say in training/world/columns.yaml what fills it")
        if columns[name] not in known:
            raise WorldError(
                f"training/world/columns.yaml fills {name!r} of {mapping} with {columns[name]!r}, which is none of "
                f"{', '.join(known)}"
            )
        found[name] = known[columns[name]]()
    return found


def _taken(column: Callable[[], Column], index: NDArray[Any]) -> Column:
    return column().take(pa.array(index))


def _numbered(prefix: str, numbers: NDArray[Any]) -> Column:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "-")


def _vectors(block: NDArray[np.float32]) -> Column:
    return pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), block.shape[1])
