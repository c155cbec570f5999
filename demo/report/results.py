"""What a run of the demo found out, as plain data: `report.json` holds it, the HTML report and the summary show it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from demo.errors import StepFailed

Fact = str | int | float


@dataclass(frozen=True)
class Step:
    """One step of the loop: what it did in a sentence, how long it took, what it counted."""

    title: str
    what: str
    seconds: float
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds; `n` measurements."""

    n: int
    p50: float
    p90: float
    p99: float
    worst: float

    @classmethod
    def of(cls, milliseconds: list[float]) -> Percentiles:
        """Raises: StepFailed: nothing was measured."""
        if not milliseconds:
            raise StepFailed("no measurement was taken where one was expected")
        p50, p90, p99, worst = np.percentile(milliseconds, [50, 90, 99, 100])
        return cls(len(milliseconds), float(p50), float(p90), float(p99), float(worst))


@dataclass(frozen=True)
class ModelResult:
    """A model on examples it has not seen: `metrics` by name, `rows` and `clicks` it was judged on."""

    name: str
    note: str
    rows: int
    clicks: int
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class CalibrationBin:
    """Examples of similar score: mean prediction and observed click rate with its 95 % interval."""

    predicted: float
    observed: Interval
    rows: int


@dataclass(frozen=True)
class Compared:
    """The same request before and after the new model; scores of its best candidates, in the new order."""

    user_id: str
    candidates: int
    before_model: str
    after_model: str
    rows: list[tuple[str, float, float]]


@dataclass(frozen=True)
class StoredFeature:
    """A feature's value as `get_online_features` read it from its tier."""

    entity: str
    key: str
    view: str
    tier: str
    name: str
    value: str
    description: str


@dataclass
class Report:
    """Everything the report shows.

    Attributes:
        verdict: what came of comparing the trained model with the one that serves.
        outcome: whether the trained model was deployed, and what serves.
    """

    started: str
    machine: str
    steps: list[Step] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    predict_ms: dict[str, Percentiles] = field(default_factory=dict)
    freshness_ms: dict[str, Percentiles] = field(default_factory=dict)
    freshness_unseen: int = 0
    decay: str = ""
    features: list[StoredFeature] = field(default_factory=list)
    models: list[ModelResult] = field(default_factory=list)
    calibration: dict[str, list[CalibrationBin]] = field(default_factory=dict)
    compared: list[Compared] = field(default_factory=list)
    verdict: str = ""
    outcome: str = ""
    where: dict[str, str] = field(default_factory=dict)
    kept_running: bool = False

    @property
    def seconds(self) -> float:
        """Duration of all steps."""
        return sum(s.seconds for s in self.steps)

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Report:
        """Reads what `save` wrote."""
        raw: dict[str, Any] = json.loads(path.read_text())
        raw["steps"] = [Step(**s) for s in raw["steps"]]
        raw["predict_ms"] = {k: Percentiles(**v) for k, v in raw["predict_ms"].items()}
        raw["freshness_ms"] = {k: Percentiles(**v) for k, v in raw["freshness_ms"].items()}
        raw["features"] = [StoredFeature(**f) for f in raw["features"]]
        raw["models"] = [
            ModelResult(**{**m, "metrics": {k: Interval(**i) for k, i in m["metrics"].items()}}) for m in raw["models"]
        ]
        raw["calibration"] = {
            k: [CalibrationBin(b["predicted"], Interval(**b["observed"]), b["rows"]) for b in v]
            for k, v in raw["calibration"].items()
        }
        raw["compared"] = [Compared(**{**c, "rows": [tuple(r) for r in c["rows"]]}) for c in raw["compared"]]
        return cls(**raw)
