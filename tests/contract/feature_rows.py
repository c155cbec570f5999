"""Random feature rows of every view, derived from the definitions and written by Feast itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from feast import FeatureStore

from adfeast.contract.definitions import Definitions, Feature, View


def value(feature: Feature, rng: random.Random) -> Any:
    """A value of the feature's type; lists may be empty or longer than the model takes."""
    if feature.dtype == "int64_list":
        return [rng.getrandbits(60) for _ in range(rng.choice((0, 1, feature.width, feature.width + 3)))]
    if feature.dtype == "float32_list":
        return [rng.gauss(0, 1) for _ in range(feature.width)]
    if feature.dtype == "string":
        return f"text {rng.randrange(50)}"
    if feature.dtype == "int64":
        return rng.getrandbits(60) if feature.role == "sparse" else rng.choice((0, 1, 3, rng.getrandbits(31)))
    return rng.gauss(0, 3)


def rows(view: View, keys: Sequence[str], moment: datetime, rng: random.Random) -> pd.DataFrame:
    """One row a key."""
    columns: dict[str, Any] = {f.name: [value(f, rng) for _ in keys] for f in view.features}
    return pd.DataFrame({view.join_key: list(keys), "event_timestamp": moment, "created_timestamp": moment, **columns})


def fill(
    store: FeatureStore, definitions: Definitions, keys: dict[str, Sequence[str]], moment: datetime, rng: random.Random
) -> None:
    """Writes to each view rows of most of the keys of its entity."""
    for view in definitions.views.values():
        chosen = [key for key in keys[view.entity] if rng.random() < 0.8]
        store.write_to_online_store(view.name, rows(view, chosen, moment, rng))
