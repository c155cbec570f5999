"""Feast objects as the registry would hold them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from feast import Entity, FeatureService, FeatureView, StreamFeatureView
from feast.data_source import DataSource

from adfeast.feast_ext.registry import TABLES, Protos

# The first that fits: a stream view is a feature view too.
KINDS = (
    (StreamFeatureView, "stream_feature_views"),
    (FeatureView, "feature_views"),
    (FeatureService, "feature_services"),
    (Entity, "entities"),
    (DataSource, "data_sources"),
)


def to_protos(objects: Iterable[Any]) -> Protos:
    """Objects, and the sources that Feast applies along with them; what the platform does not read is left out."""
    found: Protos = {table: {} for table in TABLES}
    for o in objects:
        along: list[Any] = [o, getattr(o, "batch_source", None), getattr(o, "stream_source", None)]
        for each in along:
            if (table := table_of(each)) is not None:
                found[table][each.name] = each.to_proto().SerializeToString()
    return found


def table_of(o: Any) -> str | None:
    """Where the registry keeps an object; None for what the platform does not read."""
    return next((table for kind, table in KINDS if isinstance(o, kind)), None)
