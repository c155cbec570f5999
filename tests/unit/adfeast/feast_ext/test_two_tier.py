"""An apply makes what each tier lacks and takes nothing away: what it no longer names may still be read."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from feast import Entity, FeatureView, FileSource, ValueType

from adfeast.feast_ext.two_tier import TwoTierOnlineStore

USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)


class Told:
    """A tier's store that keeps what it is told; Feast's own drop tables, or scan all keys, for what is deleted."""

    def __init__(self) -> None:
        self.deleted: list[Any] = []
        self.kept: list[str] = []

    def update(
        self, _config: Any, to_delete: Any, to_keep: Any, entities_to_delete: Any, _entities: Any, _partial: bool
    ) -> None:
        self.deleted += [*to_delete, *entities_to_delete]
        self.kept += [v.name for v in to_keep]


def view(name: str, tier: str) -> FeatureView:
    source = FileSource(name=name, path="/nowhere", timestamp_field="event_timestamp")
    return FeatureView(name=name, entities=[USER], ttl=timedelta(days=1), source=source, tags={"tier": tier})


@pytest.mark.parametrize("gone", ["redis", "dynamodb"])
def test_an_apply_without_a_view_drops_nothing_of_it(gone: str) -> None:
    store, tiers = TwoTierOnlineStore(), {"redis": Told(), "dynamodb": Told()}
    store._stores = tiers
    config: Any = SimpleNamespace(online_store=SimpleNamespace(redis=None, dynamodb=None))
    left = [view("fast", "redis"), view("slow", "dynamodb")]
    store.update(config, [view("gone", gone)], left, [USER], [], partial=False)
    assert {tier: told.deleted for tier, told in tiers.items()} == {"redis": [], "dynamodb": []}
    assert {tier: told.kept for tier, told in tiers.items()} == {"redis": ["fast"], "dynamodb": ["slow"]}
