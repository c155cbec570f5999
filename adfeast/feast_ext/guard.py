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

from feast import FeatureStore

from adfeast.clock import SystemClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.history import APPLIED, History
from adfeast.contract.signature import Contract
from adfeast.feast_ext.protos import table_of, to_protos
from adfeast.feast_ext.refusals import ApplyRefused, refusals
from adfeast.feast_ext.registry import LEASE, parse, read_protos
from adfeast.fleet import loaded_models
from adfeast.ledger import Ledger
from adfeast.settings import Settings

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
            wanted = check(self, settings, listed, [] if partial else objects_to_delete or [])
            lease.check()
            remember(settings, wanted)
            plain(self, objects, objects_to_delete, partial, **options)

    FeatureStore.apply = apply


def check(store: FeatureStore, settings: Settings, objects: Iterable[Any], to_delete: Iterable[Any]) -> Definitions:
    """What would be applied with `objects` in the registry and without `to_delete`, if that may be.

    Raises:
        ApplyRefused: it may not.
        DefinitionError: a view or feature would lack what the platform needs.
    """
    stored = read_protos(store.registry.read_engine, store.project)
    wanted = {table: dict(protos) for table, protos in stored.items()}
    for o in to_delete:
        if (table := table_of(o)) is not None:
            wanted[table].pop(o.name, None)
    for table, protos in to_protos(objects).items():
        wanted[table] |= protos
    applied = parse(store.project, stored) if stored["feature_services"] else None
    definitions = parse(store.project, wanted)
    reasons = refusals(applied, definitions, loaded_models(settings))
    if reasons:
        raise ApplyRefused(reasons)
    return definitions


def remember(settings: Settings, definitions: Definitions) -> None:
    """Keeps the identities that are about to be made, for `adfeast gc`."""
    made = Contract(tuple(definitions.identities.values()))
    History(settings).record(APPLIED, made.hash, made.to_json())
