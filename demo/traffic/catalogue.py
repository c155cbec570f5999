"""The tables that an identity team and a catalogue team would deliver into the lake, made from the data set.

An ad's content embedding is a seeded Gaussian random projection of what the data says of it: one-hot categories and the
standardised numeric attribute, scaled to length 1. Distances between ads survive the projection (Johnson and
Lindenstrauss 1984); nothing is learnt and clicks play no part.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import EVENT_TIME
from adfeast.errors import DefinitionError
from adfeast.lake import filesystem
from adfeast.settings import Settings
from demo.traffic.open_bandit import SEED, OpenBandit

CREATED_TIME = "created_timestamp"
EMBEDDING = "embedding"
FloatMatrix = np.ndarray[Any, np.dtype[np.float32]]


def embed(ads: pa.Table, dim: int, seed: int = SEED) -> FloatMatrix:
    """Content embeddings, float32 [ads, dim], rows of length 1, in the order of `ads`.

    Text columns but the first (the key) are one-hot encoded, numbers are taken as they are.
    """
    columns = []
    for name in ads.column_names[1:]:
        column = ads[name]
        if pa.types.is_floating(column.type):
            columns.append(column.to_numpy().astype(np.float64)[:, None])
        else:
            values = np.asarray(column.to_pylist())
            columns.append((values[:, None] == np.unique(values)[None, :]).astype(np.float64))
    wide = np.concatenate(columns, axis=1)
    projected = wide @ np.random.default_rng(seed).standard_normal((wide.shape[1], dim))
    unit: FloatMatrix = (projected / np.linalg.norm(projected, axis=1, keepdims=True)).astype(np.float32)
    return unit


def embedding_width(definitions: Definitions) -> int:
    """Width of the one embedding that the definitions declare.

    Raises:
        DefinitionError: none or several widths are declared, so the table's single column cannot serve them.
    """
    widths = {f.width for v in definitions.views.values() for f in v.features if f.role == "embedding"}
    if len(widths) != 1:
        raise DefinitionError(f"the demo's ads carry one embedding; the views declare widths {sorted(widths)}")
    return widths.pop()


def deliver(settings: Settings, definitions: Definitions, data: OpenBandit, at: datetime) -> dict[str, int]:
    """Writes one delivery of the tables `users` and `ads`, dated `at`; writing it again replaces it.

    Returns:
        rows written by table.
    """
    vectors = embed(data.ads, embedding_width(definitions))
    flat = pa.array(vectors.reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]).cast(pa.list_(pa.float32()))
    ads = data.ads.append_column(EMBEDDING, lists)
    written = {}
    for name, table in {"users": data.users, "ads": ads}.items():
        for column in (EVENT_TIME, CREATED_TIME):
            stamp = pa.array([at] * table.num_rows, pa.timestamp("us", "UTC"))
            table = table.append_column(column, stamp)
        _write(settings, table, definitions.tables[name].url, at)
        written[name] = table.num_rows
    return written


def _write(settings: Settings, table: pa.Table, folder: str, at: datetime) -> None:
    name = f"delivery-{at:%Y%m%dT%H%M%S}.parquet"
    if not folder.startswith("s3://"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        partial = Path(folder) / f".{name}"
        pq.write_table(table, partial)
        partial.rename(Path(folder) / name)
        return
    store, place = filesystem(settings, folder)
    pq.write_table(table, f"{place}/{name}", filesystem=store)
