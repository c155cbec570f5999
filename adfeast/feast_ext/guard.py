"""Refuses an apply that would break what runs, before Feast touches the registry.

Feast 0.67 has no hook there: its SQL registry cannot be replaced from feature_store.yaml, and each object is written by
itself. So `FeatureStore.apply`, through which `feast apply`, our own apply and notebooks all go, is wrapped when Feast
loads our online store (adfeast.feast_ext.two_tier), which every command with our feature_store.yaml does first. Stores
with another online store are left alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from feast import Entity, FeatureService, FeatureStore, FeatureView, StreamFeatureView
from feast.data_source import DataSource

from adfeast.clock import SystemClock
from adfeast.feast_ext.refusals import ApplyRefused, refusals
from adfeast.feast_ext.registry import TABLES, Protos, parse, read_protos
from adfeast.fleet import loaded_models
from adfeast.ledger import Ledger
from adfeast.settings import Settings

LEASE = "definitions"  # held by whoever changes what is applied; `adfeast gc` takes it too
WAIT_S = 60.0
ONLINE_STORE = "adfeast.feast_ext.two_tier.TwoTierOnlineStore"


def install() -> None:
    """Wraps `FeatureStore.apply`; harmless if it is wrapped already."""
    plain = FeatureStore.apply
    if hasattr(plain, "__wrapped__"):
        return

    @functools.wraps(plain)
    def apply(
        self: FeatureStore,
        objects: Any,
        objects_to_delete: list[Any] | None = None,
        partial: bool = True,
        **options: Any,
    ) -> None:
        if getattr(self.config.online_store, "type", "") != ONLINE_STORE:
            plain(self, objects, objects_to_delete, partial, **options)
            return
        settings = self.config.offline_store.settings.model_copy(update={"project": self.project})
        with Ledger(settings, SystemClock()).lease(LEASE, wait_s=WAIT_S) as lease:
            listed = list(objects) if isinstance(objects, Iterable) else [objects]
            check(self, settings, listed, [] if partial else objects_to_delete or [])
            lease.check()
            plain(self, objects, objects_to_delete, partial, **options)

    FeatureStore.apply = apply


def check(store: FeatureStore, settings: Settings, objects: Iterable[Any], to_delete: Iterable[Any]) -> None:
    """Asks whether the registry may become what it would be with `objects` in it and without `to_delete`.

    Raises:
        ApplyRefused: it may not.
        DefinitionError: a view or feature would lack what the platform needs.
    """
    stored = read_protos(store.registry.read_engine, store.project)
    wanted = {table: dict(protos) for table, protos in stored.items()}
    for o in to_delete:
        if table := _table(o):
            wanted[table].pop(o.name, None)
    for table, protos in to_protos(objects).items():
        wanted[table] |= protos
    applied = parse(store.project, stored) if stored["feature_services"] else None
    reasons = refusals(applied, parse(store.project, wanted), loaded_models(settings))
    if reasons:
        raise ApplyRefused(reasons)


def to_protos(objects: Iterable[Any]) -> Protos:
    """Objects and the sources that Feast applies along with them, as the registry would hold them."""
    found: Protos = {table: {} for table in TABLES}
    for o in objects:
        for each in (o, getattr(o, "batch_source", None), getattr(o, "stream_source", None)):
            if each is not None and (table := _table(each)):
                found[table][each.name] = each.to_proto().SerializeToString()
    return found


def _table(o: Any) -> str | None:
    """Where the registry keeps an object; None for kinds that the platform does not read."""
    kinds = {
        StreamFeatureView: "stream_feature_views",
        FeatureView: "feature_views",
        FeatureService: "feature_services",
        Entity: "entities",
        DataSource: "data_sources",
    }
    return next((table for kind, table in kinds.items() if isinstance(o, kind)), None)
