"""Generated users, ads and contexts of whatever is defined: names, types and widths come from the definitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import redis
from feast import FeatureStore

from adfeast.contract.definitions import Definitions, Feature
from adfeast.contract.ids import hash_id
from adfeast.contract.signature import AD, USER
from adfeast.feast_ext.online_layout import redis_watermark_field, redis_watermarks_key, redis_ways_field
from adfeast.settings import Settings

ID_SPACE = 1 << 60  # where `hash_id` puts strings
CONTEXTS = 64
CHOICES = 8  # different strings of a request feature
CATEGORIES = 256  # different values of a sparse feature


@dataclass(frozen=True)
class Population:
    """The ids that exist in both tiers."""

    users: list[str]
    ads: list[str]

    @classmethod
    def of(cls, users: int, ads: int) -> Population:
        """Ids with no pattern that a cache or a hash could profit from."""
        return cls(
            [f"u{hash_id(f'user {i}'):x}" for i in range(users)], [f"a{hash_id(f'ad {i}'):x}" for i in range(ads)]
        )

    def keys(self, entity: str) -> list[str]:
        """The ids of the entity `user` or `ad`."""
        return {USER: self.users, AD: self.ads}[entity]


def fill(
    store: FeatureStore, definitions: Definitions, service: str, people: Population, now: datetime, seed: int
) -> int:
    """Writes one row a key and view of the service into the online tiers, as any writer of Feast does.

    Returns:
        Rows written.
    """
    rng = np.random.default_rng(seed)
    rows = 0
    for view in definitions.service_views(service):
        keys = people.keys(view.entity)
        columns: dict[str, Any] = {view.join_key: keys}
        columns |= {f.name: _column(f, len(keys), rng) for f in definitions.views[view.name].features}
        frame = pd.DataFrame(columns).assign(event_timestamp=now, created_timestamp=now)
        store.write_to_online_store(view.name, frame)
        rows += len(frame)
    return rows


def stand_at(settings: Settings, definitions: Definitions, ms: int) -> None:
    """Says, as the Redis writer does, that every stream view has come to a time in milliseconds since 1970."""
    fields: dict[bytes, bytes] = {}
    for view in (v.name for v in definitions.views.values() if v.kind == "stream"):
        fields |= {redis_ways_field(view): b"1", redis_watermark_field(view, 0): b"%d" % ms}
    with redis.Redis(settings.redis_host, settings.redis_port) as client:
        client.hset(redis_watermarks_key(settings.project), mapping=fields)


def contexts(definitions: Definitions, service: str, seed: int) -> list[dict[str, dict[str, Any]]]:
    """Random `context` maps of Predict requests, in the protocol's JSON form: name to {kind: value}."""
    rng = np.random.default_rng(seed)
    features = definitions.request_sources.get(definitions.service(service).request_source, ())
    return [{f.name: _value(f, rng) for f in features} for _ in range(CONTEXTS)]


def _value(f: Feature, rng: np.random.Generator) -> dict[str, Any]:
    if f.dtype == "string":
        return {"text": f"{f.name}-{rng.integers(CHOICES)}"}
    if f.dtype == "int64":
        return {"integer": int(rng.integers(f.hash_size or CHOICES))}
    return {"number": float(rng.random())}


def _column(f: Feature, n: int, rng: np.random.Generator) -> Sequence[Any]:
    if f.role == "embedding":
        return list(rng.standard_normal((n, f.width), np.float32))
    if f.role == "list":
        return [rng.integers(ID_SPACE, size=f.width).tolist() for _ in range(n)]
    if f.dtype == "string":
        return [f"{f.name}-{i}" for i in rng.integers(f.hash_size or CHOICES, size=n)]
    if f.dtype == "int64" and f.role == "sparse":
        return list(rng.choice(rng.integers(ID_SPACE, size=CATEGORIES), n).tolist())
    if f.dtype == "int64":
        return list(rng.poisson(5, n).tolist())  # a count
    return list(rng.random(n).astype(f.dtype).tolist())
