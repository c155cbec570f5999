"""Writes a world as the definitions would have it: events, delivered tables, a training set, and the truth beside it.

A training set of a world holds the features that are known without counting events (see columns.yaml), with the labels
that are known when every window has closed; features that count are not logged in it. In a demo the same events go
through the platform, which counts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_TIME, IMPRESSION_ID, IMPRESSIONS
from adfeast.contract.ids import hash_id
from adfeast.contract.rungs import Rung
from adfeast.contract.signature import AD, USER, Contract, Identity
from adfeast.contract.tensors import Status
from training.data.columns import LABEL, MODEL, RUNG, SCORE, WEIGHT, column_names, status_column, training_schema
from training.errors import WorldError
from training.sampling import chosen, weights
from training.world import oracle
from training.world.quantities import Known, Quantities, pick
from training.world.traffic import NO_CLICK, World

COLUMNS = yaml.safe_load(Path(__file__).with_name("columns.yaml").read_text())
CHUNK = 65_536  # impressions written at once
TRAINING_SET = "training_set"


@dataclass(frozen=True)
class Written:
    """What was written, and what the best possible answer to it is.

    Attributes:
        clicks: of any delay; `labelled`: those within the label window.
        oracle: expected log loss of the true probabilities of a label, `prior` of their mean.
        normalized_entropy: the former by the latter; no model can have less.
    """

    path: str
    impressions: int
    clicks: int
    labelled: int
    oracle: float
    prior: float
    normalized_entropy: float


def write(
    world: World, definitions: Definitions, service: str, folder: Path, label_window_s: float, negatives: float = 1.0
) -> Written:
    """Writes the world into `folder`; what is there of another one is overwritten.

    Args:
        label_window_s: seconds within which a click makes a label positive.
        negatives: share of the rows without a click that the training set has, each with the weight of what it stands
            for; see `training.sampling`.

    Raises:
        WorldError: the definitions have a column that the world does not fill.
        DefinitionError: no such service.
    """
    (folder / TRAINING_SET).mkdir(parents=True, exist_ok=True)
    contract = _contract(definitions, service)
    quantities = Quantities(world, _width(definitions))
    for name, known in (("users", quantities.users), ("ads", quantities.ads)):
        columns = pick(known, name, COLUMNS[name], list(COLUMNS[name]))
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    shown, spec = world.impressions, world.truth.spec
    interval = (spec.start_ms, spec.end_ms)
    keys = definitions.entities
    schema = training_schema(contract, keys[USER], keys[AD], interval)
    label = world.impressions.delay_s <= label_window_s
    rate = world.click_rate(label_window_s)
    with _Files(folder) as files:
        for begin in range(0, len(shown), CHUNK):
            rows = slice(begin, begin + CHUNK)
            part = shown.take(rows)
            known = quantities.shown(part, begin)
            events = {t: pa.table(pick(known, t, COLUMNS[t], _fields(definitions, t))) for t in (IMPRESSIONS, CLICKS)}
            files.write(IMPRESSIONS, events[IMPRESSIONS])
            files.write(CLICKS, events[CLICKS].filter(pa.array(part.delay_ms != NO_CLICK)))
            truth = {IMPRESSION_ID: known["impression_id"](), "click_rate": rate[rows], "delay_ms": part.delay_ms}
            files.write("truth", pa.table(truth))
            training = _training_rows(known, label[rows], weights(label[rows], negatives), contract, schema)
            if negatives < 1:
                ids = training[IMPRESSION_ID].to_pylist()
                training = training.filter(pa.array(label[rows] | chosen(ids, negatives)))
            files.write(f"{TRAINING_SET}/part-00000", training)
    prior = oracle.log_loss(rate, float(rate.mean()))
    best = oracle.log_loss(rate, rate)
    clicks = int(np.count_nonzero(shown.delay_ms != NO_CLICK))
    return Written(str(folder), len(shown), clicks, int(label.sum()), best, prior, best / prior)


def _fields(definitions: Definitions, topic: str) -> list[str]:
    return [f["name"] for f in definitions.events[topic]["fields"]]


def _contract(definitions: Definitions, service: str) -> Contract:
    """The features of a service that the world knows."""
    known = tuple(i for i in definitions.contract(service).inputs if i.name in COLUMNS["features"])
    if not known:
        raise WorldError(f"of the features of service {service!r} training/world/columns.yaml fills none")
    return Contract(known)


def _width(definitions: Definitions) -> int:
    widths = {f.width for v in definitions.views.values() for f in v.features if f.role == "embedding"}
    if len(widths) > 1:
        raise WorldError(f"an ad of the world has one embedding; the views declare widths {sorted(widths)}")
    return widths.pop() if widths else 1


def _training_rows(known: Known, label: Any, weight: Any, contract: Contract, schema: pa.Schema) -> pa.Table:
    count = len(label)
    events = COLUMNS[IMPRESSIONS] | {IMPRESSION_ID: "impression_id"}
    constant = {RUNG: Rung.FRESH.text, SCORE: 0.0, MODEL: ""}
    features = column_names(contract)
    columns: dict[str, Any] = {LABEL: label.astype(np.int8), WEIGHT: weight.astype(np.float32)}
    columns |= {name: _feature(known, identity) for identity, name in features.items()}
    columns |= {status_column(name): np.full(count, Status.PRESENT, np.uint8) for name in features.values()}
    found = []
    for column in schema:
        if column.name in columns:
            found.append(pa.array(columns[column.name], column.type))
        elif column.name in constant:
            found.append(pa.array([constant[column.name]] * count, column.type))
        else:
            values = known[events[column.name]]()
            scaled = pa.array(values.to_numpy() * 1000) if column.name == EVENT_TIME else values
            found.append(scaled.cast(column.type))
    return pa.Table.from_arrays(found, schema=schema)


def _feature(known: Known, identity: Identity) -> pa.Array:
    """A feature's values as they are logged: texts hashed, each distinct one once."""
    values = pick(known, "features", COLUMNS["features"], [identity.name])[identity.name]
    if not pa.types.is_string(values.type):
        return values
    coded = values.dictionary_encode()
    hashed = pa.array([hash_id(text) for text in coded.dictionary.to_pylist()], pa.int64())
    return hashed.take(coded.indices)


class _Files:
    """Parquet files of a folder, each opened with its first rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def write(self, name: str, rows: pa.Table) -> None:
        if name not in self._open:
            path = self._folder / f"{name}.parquet"
            self._open[name] = pq.ParquetWriter(path, rows.schema, compression="zstd")
        self._open[name].write_table(rows)
