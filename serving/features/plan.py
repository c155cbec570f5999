"""Compiles a contract, once, into what the reader needs per request: key bytes, field hashes, tables and the numpy
columns each value goes to. The layouts are Feast's own, so that every tool of Feast reads the same rows.

The views of one entity in one tier form a block. A block has small arrays of its own (`columns.Rows`) and knows which
columns of the contract's tensors, which statuses and which times they fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.definitions import Definitions, View
from adfeast.contract.signature import AD, REQUEST, TENSORS, USER, Contract, Identity, Role
from adfeast.contract.tensors import Columns, as_slice
from adfeast.errors import DefinitionError
from adfeast.feast_ext.online_layout import dynamodb_id, dynamodb_table, redis_field, redis_key, redis_time_field

REDIS, DYNAMODB = "redis", "dynamodb"


@dataclass(frozen=True)
class Slot:
    """Where one feature stands in the arrays of its block: `width` columns from `offset` of its role's array."""

    feature: Identity
    view: int
    offset: int


@dataclass(frozen=True)
class Block:
    """The views of one entity in one tier, or the request's features (no views).

    Attributes:
        slots: one a feature, in the order in which its values are read.
        view_of_feature: [features] position in `views`.
        columns: for each role, the block's columns in the contract's tensor.
        feature_of_column: for each role, [columns] position in `slots`.
        statuses, times: the block's positions among the statuses and times of its side (shared or ad).
        max_age_ms: int64 [views].
    """

    project: str
    views: tuple[View, ...]
    slots: tuple[Slot, ...]
    view_of_feature: NDArray[np.intp]
    columns: dict[Role, Columns]
    feature_of_column: dict[Role, NDArray[np.intp]]
    statuses: Columns
    times: Columns
    max_age_ms: NDArray[np.int64]

    def width(self, role: Role) -> int:
        """Columns of the block's array of a role."""
        return len(self.feature_of_column[role])

    @property
    def _join_key(self) -> str:
        return self.views[0].join_key

    def entity_id(self, key: str) -> str:
        """The partition key of Feast's DynamoDB tables."""
        return dynamodb_id(self._join_key, key)

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """DynamoDB table of each view."""
        return tuple(dynamodb_table(self.project, view.name) for view in self.views)

    @cached_property
    def fields(self) -> tuple[bytes, ...]:
        """Fields of Feast's Redis hash: one a slot, then the row time of each view."""
        features = (redis_field(slot.feature.view, slot.feature.name) for slot in self.slots)
        return (*features, *(redis_time_field(view.name) for view in self.views))

    @cached_property
    def _command_tail(self) -> bytes:
        return b"".join(b"$%d\r\n%s\r\n" % (len(f), f) for f in self.fields)

    def redis_command(self, key: str) -> bytes:
        """HMGET of all fields of one entity, ready to be sent."""
        name = redis_key(self._join_key, key, self.project)
        head = b"*%d\r\n$5\r\nHMGET\r\n$%d\r\n%s\r\n" % (len(self.fields) + 2, len(name), name)
        return head + self._command_tail


@dataclass(frozen=True)
class Plan:
    """A compiled contract. `blocks` holds, for `(source, tier)`, what is read there; the request is its own."""

    contract: Contract
    blocks: dict[tuple[str, str], Block]
    request: Block
    shared_features: int
    ad_features: int
    shared_views: int
    ad_views: int

    @cached_property
    def stream_views(self) -> tuple[View, ...]:
        """The views that promise to be fresh, in the order of the blocks."""
        return tuple(v for block in self.blocks.values() for v in block.views if v.fresh_within_s is not None)

    def block(self, source: str, tier: str) -> Block | None:
        """None when the contract has no view of this entity in this tier."""
        return self.blocks.get((source, tier))


def compile_plan(definitions: Definitions, contract: Contract) -> Plan:
    """Works out every position of a contract, whose features may come from any view that is defined.

    Raises:
        DefinitionError: a feature is not made as the contract says, a view of another entity than user and ad, of an
            unknown tier, or a request feature that is not one number, id or text.
    """
    if lacking := definitions.missing(contract):
        raise DefinitionError(f"the definitions do not make what is to be read: {'; '.join(lacking)}")
    views = [definitions.views[name] for name in dict.fromkeys(i.view for i in contract.inputs if i.source != REQUEST)]
    for view in views:
        if view.entity not in (USER, AD) or view.tier not in (REDIS, DYNAMODB):
            raise DefinitionError(
                f"view {view.name!r} (entity {view.entity!r}, tier {view.tier!r}) cannot be served: "
                f"the entity must be {USER} or {AD}, the tier {REDIS} or {DYNAMODB}"
            )
    for i in contract.inputs:
        if i.source == REQUEST and i.role not in ("dense", "sparse"):
            raise DefinitionError(f"request feature {i.name!r} has role {i.role!r}; a caller can give dense and sparse")
    blocks = {}
    for source in (USER, AD):
        for tier in (REDIS, DYNAMODB):
            chosen = tuple(v for v in views if (v.entity, v.tier) == (source, tier))
            if chosen:
                blocks[source, tier] = _block(definitions.project, contract, views, chosen, source)
    return Plan(
        contract=contract,
        blocks=blocks,
        request=_block(definitions.project, contract, views, (), REQUEST),
        shared_features=sum(i.source != AD for i in contract.inputs),
        ad_features=sum(i.source == AD for i in contract.inputs),
        shared_views=sum(v.entity != AD for v in views),
        ad_views=sum(v.entity == AD for v in views),
    )


def _block(project: str, contract: Contract, views: Sequence[View], chosen: tuple[View, ...], source: str) -> Block:
    names = [v.name for v in chosen]
    features = [i for i in contract.inputs if i.source == source and (not chosen or i.view in names)]
    slots, columns, owners = [], {r: [] for r in TENSORS}, {r: [] for r in TENSORS}  # type: ignore[var-annotated]
    for position, i in enumerate(features):
        slots.append(Slot(i, names.index(i.view) if chosen else 0, len(columns[i.role])))
        start = contract.starts[i.view, i.name]
        columns[i.role] += range(start, start + i.width)
        owners[i.role] += [position] * i.width
    side = [(i.view, i.name) for i in contract.inputs if (i.source == AD) == (source == AD)]
    side_views = [v.name for v in views if (v.entity == AD) == (source == AD)]
    return Block(
        project=project,
        views=chosen,
        slots=tuple(slots),
        view_of_feature=np.array([s.view for s in slots], np.intp),
        columns={role: as_slice(found) for role, found in columns.items()},
        feature_of_column={role: np.array(found, np.intp) for role, found in owners.items()},
        statuses=as_slice([side.index((i.view, i.name)) for i in features]),
        times=as_slice([side_views.index(name) for name in names]),
        max_age_ms=np.array([v.max_age_s * 1000 for v in chosen], np.int64),
    )
