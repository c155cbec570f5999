"""Whether a new model may take the place of the one that serves.

Both answer the same held-out rows, later than what either was fitted to, and are compared in pairs. The new one passes
when it is shown to be at least as good: when even the upper end of the 95 % interval of its normalized entropy less the
incumbent's is at most a margin. On a small set little can be shown, and the incumbent stays.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.contract.signature import TENSORS, Signature
from adfeast.contract.tensors import Tensors
from training.export.flavours import run_onnx
from training.model.compare import Comparison, compare
from training.model.dataset import Part, TrainingSet

CHUNK = 65_536
FEWEST_CLICKS = 5  # with fewer, all of them favour one of two equal models in more than 1 of 16 cases


@dataclass(frozen=True)
class Incumbent:
    """The model that serves.

    Attributes:
        name: in Triton.
        folder: of its artifact: `signature.json`, `evaluation.json` and the flavour `onnx` at least.
    """

    name: str
    folder: Path


@dataclass(frozen=True)
class Verdict:
    """What came out.

    Attributes:
        incumbent: its name in Triton.
        passes: whether the new model may replace it.
        verdict: `better`, `as good` (within the margin), `worse`, or `not shown` to be as good.
        margin: of normalized entropy.
        reason: the same for people, with figures.
        comparison: None where nothing could be compared.
    """

    incumbent: str
    passes: bool
    verdict: str
    margin: float
    reason: str
    comparison: Comparison | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


def judge(incumbent: Incumbent, new: NDArray[Any], data: TrainingSet, margin: float, seed: int) -> Verdict:
    """Compares the probabilities [N] that a new model gives the held-out part with the incumbent's.

    Rows that the incumbent was fitted to are left out: there it would win by memory.
    """
    until = json.loads((incumbent.folder / "evaluation.json").read_text()).get("seen_until_us")
    times = data.times(Part.HELD_OUT)
    later = times > (until if until is not None else times.min() - 1)
    rows = data.read(Part.HELD_OUT).take(later)
    clicks = int(rows.label.sum())
    if min(clicks, len(rows.label) - clicks) < FEWEST_CLICKS:
        reason = (
            f"not comparable with {incumbent.name}: {clicks} clicks in {len(rows.label)} held-out rows later than what "
            f"it has seen, at least {FEWEST_CLICKS} are needed; join labels over a later or a longer time"
        )
        return Verdict(incumbent.name, False, "not shown", margin, reason)
    old = answers(incumbent, data)[later]
    found = compare(rows.label, new[later], old, rows.request, rows.weight, seed=seed)
    return _verdict(incumbent.name, found, margin)


def answers(incumbent: Incumbent, data: TrainingSet) -> NDArray[np.float64]:
    """The incumbent's probabilities of the held-out rows; an input that was not logged is missing to it."""
    signature = Signature.from_json((incumbent.folder / "signature.json").read_text())
    rows = data.taken_by(signature).read(Part.HELD_OUT).tensors
    model = incumbent.folder / "model_repository" / "onnx" / "1" / "model.onnx"
    parts = [
        run_onnx(model, Tensors(**{name: getattr(rows, name)[n : n + CHUNK] for name in TENSORS.values()}))
        for n in range(0, len(rows.dense), CHUNK)
    ]
    return np.concatenate(parts)


def _verdict(name: str, found: Comparison, margin: float) -> Verdict:
    metric = found.normalized_entropy
    assert metric.value is not None
    assert metric.low is not None
    assert metric.high is not None
    passes = metric.high <= margin
    verdict = ("better" if metric.high < 0 else "as good") if passes else "worse" if metric.low > 0 else "not shown"
    said = {"better": "better than", "as good": "as good as", "worse": "worse than"}
    said["not shown"] = "not shown to be as good as"
    reason = (
        f"{said[verdict]} {name}: normalized entropy {metric.value:+.4f} ({metric.low:+.4f} to {metric.high:+.4f}) on "
        f"{found.rows} held-out rows with {found.clicks} clicks; the upper end may be at most {margin:+.4f}"
    )
    return Verdict(name, passes, verdict, margin, reason, found)
