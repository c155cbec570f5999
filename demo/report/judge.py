"""What the report says of models and stores, measured with the functions that training and serving use."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from feast import FeatureStore

from adfeast.contract.definitions import Definitions, View
from demo.report.results import CalibrationBin, Interval, ModelResult, StoredFeature
from demo.traffic.open_bandit import SEED
from demo.traffic.replay import Served
from training.model.evaluate import evaluate

SHOWN = {"auc": "AUC", "log_loss": "log loss", "normalized_entropy": "NE", "pcoc": "PCOC"}
BINS = 5  # with some 40 clicks a day more would only look precise
Z95 = 1.959964


def judge_served(name: str, note: str, served: Sequence[Served]) -> tuple[ModelResult, list[CalibrationBin]]:
    """The scores that were really answered, against the clicks that came."""
    label = np.array([s.clicked for s in served], np.int8)
    score = np.array([s.score for s in served], np.float64)
    found = evaluate(label, score, np.arange(len(served)), seed=SEED, bins=BINS)
    return _result(name, note, found.rows, found.clicks, found.to_dict()["metrics"]), _bins(found.reliability)


def judge_held_out(artifact: Path, notes: dict[str, str]) -> list[ModelResult]:
    """The models of an artifact on the held-out end of their training set; `notes` name them by kind."""
    found = []
    for kind, model in json.loads((artifact / "evaluation.json").read_text())["models"].items():
        e = model["evaluation"]
        found.append(_result(kind.upper(), notes[kind], e["rows"], e["clicks"], e["metrics"]))
    return found


def _result(name: str, note: str, rows: int, clicks: int, metrics: dict[str, dict[str, Any]]) -> ModelResult:
    defined = {SHOWN[n]: Interval(**m) for n, m in metrics.items() if n in SHOWN and None not in m.values()}
    return ModelResult(name, note, rows, clicks, defined)


def _bins(reliability: list[dict[str, float]]) -> list[CalibrationBin]:
    bins = [(b["predicted"], int(b["clicks"]), int(b["rows"])) for b in reliability]
    return [CalibrationBin(predicted, wilson(clicks, rows), rows) for predicted, clicks, rows in bins]


def wilson(clicks: int, rows: int) -> Interval:
    """Click rate with its 95 % interval (Wilson, Probable Inference, 1927)."""
    rate, z2 = clicks / rows, Z95**2
    centre = (rate + z2 / (2 * rows)) / (1 + z2 / rows)
    half = Z95 * math.sqrt(rate * (1 - rate) / rows + z2 / (4 * rows * rows)) / (1 + z2 / rows)
    return Interval(rate, max(0.0, centre - half), min(1.0, centre + half))


def stored(store: FeatureStore, definitions: Definitions, entity: str, key: str) -> list[StoredFeature]:
    """All features of one entity, read by Feast."""
    views = [v for v in definitions.views.values() if v.entity == entity]
    answer = online(store, views, [key])
    return [
        StoredFeature(entity, key, v.name, v.tier, f.name, _text(answer[f.name][0]), f.description)
        for v in views
        for f in v.features
    ]


def silent_windows(store: FeatureStore, views: Sequence[View], keys: Sequence[str]) -> tuple[int, int]:
    """(keys of which every window reads zero, keys that have any value) among keys of one entity."""
    answer = online(store, views, keys)
    rows = list(zip(*(answer[f.name] for v in views for f in v.features), strict=True))
    known = [r for r in rows if any(value is not None for value in r)]
    return sum(not any(r) for r in known), len(known)


def online(store: FeatureStore, views: Sequence[View], keys: Sequence[str]) -> dict[str, list[Any]]:
    """`get_online_features` of whole views of one entity: feature to values in the order of `keys`."""
    features = [f"{v.name}:{f.name}" for v in views for f in v.features]
    rows = [{views[0].join_key: key} for key in keys]
    answer: dict[str, list[Any]] = store.get_online_features(features=features, entity_rows=rows).to_dict()
    return answer


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        head = ", ".join(_text(v) for v in value[:1])
        return f"[{head}, … {len(value)} values]" if len(value) > 1 else f"[{head}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
