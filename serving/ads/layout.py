"""What stands in a table of ads: the features of all ad views, as the blocks of a plan of their own.

A stream view of the Redis tier and a batch view of the DynamoDB tier can be followed; others are left to the stores.
How a feature is made is no part of it: the stores, too, keep the values of a changed view until they are written anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from adfeast.contract.definitions import Definitions, View
from adfeast.contract.signature import AD, DTYPES, TENSORS, Contract, Role
from serving.features.plan import DYNAMODB, REDIS, Block, Plan, compile_plan

FORMAT = 1
FOLLOWED = {"stream": REDIS, "batch": DYNAMODB}  # kind of view to the tier of which changes are heard
ROLES: tuple[Role, ...] = tuple(TENSORS)


@dataclass(frozen=True)
class Column:
    """One feature: `width` columns from `offset` of its role's array."""

    view: str
    name: str
    role: Role
    dtype: str
    width: int
    offset: int


@dataclass(frozen=True)
class PartLayout:
    """The features of one tier, in the order of the rows' `absent`; the views in the order of their `times`."""

    views: tuple[str, ...]
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, block: Block) -> PartLayout:
        """That of a plan's block."""
        names = tuple(v.name for v in block.views)
        return cls(
            names,
            tuple(
                Column(names[s.view], s.feature.name, s.feature.role, s.feature.dtype, s.feature.width, s.offset)
                for s in block.slots
            ),
        )

    def width(self, role: Role) -> int:
        """Columns of a role's array."""
        return sum(c.width for c in self.columns if c.role == role)

    @property
    def row_bytes(self) -> int:
        """Of one ad."""
        values = sum(self.width(role) * np.dtype(DTYPES[role]).itemsize for role in ROLES)
        return values + len(self.columns) + 8 * len(self.views)


@dataclass(frozen=True)
class TableLayout:
    """The parts of a table, by tier."""

    parts: Mapping[str, PartLayout]

    @classmethod
    def of(cls, plan: Plan) -> TableLayout:
        """That of a plan made by `plan_of_ads`."""
        return cls({tier: PartLayout.of(block) for (source, tier), block in plan.blocks.items() if source == AD})

    @classmethod
    def from_json(cls, text: str) -> TableLayout:
        """The inverse of `text`."""
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise ValueError(f"format {raw['format']}, not {FORMAT}")
        parts = {
            tier: PartLayout(tuple(p["views"]), tuple(Column(*c) for c in p["columns"]))
            for tier, p in raw["parts"].items()
        }
        return cls(parts)

    @cached_property
    def text(self) -> str:
        """Canonical JSON."""
        parts = {
            tier: {
                "views": p.views,
                "columns": [(c.view, c.name, c.role, c.dtype, c.width, c.offset) for c in p.columns],
            }
            for tier, p in self.parts.items()
        }
        return json.dumps({"format": FORMAT, "parts": parts}, sort_keys=True, separators=(",", ":"))

    @cached_property
    def id(self) -> str:
        """Twelve hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def followed_views(definitions: Definitions, *kinds: str) -> list[View]:
    """The ad views of some kinds that can be followed."""
    return [v for v in definitions.views.values() if v.entity == AD and v.kind in kinds and FOLLOWED[v.kind] == v.tier]


def plan_of_ads(definitions: Definitions) -> Plan:
    """Everything of every ad that can be followed, as one plan.

    Raises:
        DefinitionError: an ad view cannot be served.
    """
    followed = {v.name for v in followed_views(definitions, *FOLLOWED)}
    inputs = tuple(i for (view, _), i in definitions.identities.items() if view in followed)
    return compile_plan(definitions, Contract(inputs))
