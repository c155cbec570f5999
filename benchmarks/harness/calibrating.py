"""What each calibration makes of a model that drift has left behind.

The model of a stream is calibrated on the first half of the time after its pretraining, and judged by the true rates on
the impressions that come a label window and more after that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.harness.delayed_feedback import Stream
from training.model import calibrate, calibrators
from training.model.calibrate import Calibration
from training.world import oracle


@dataclass(frozen=True)
class Calibrated:
    """One calibration, judged by the true rates.

    Attributes:
        regret: by how much the log loss is above that of the true rates.
        error: mean over impressions of |predicted - true rate| of their category.
        ratio: predicted clicks by true ones.
    """

    name: str
    log_loss: float
    regret: float
    error: float
    ratio: float


def measure(stream: Stream) -> list[Calibrated]:
    """Every calibration of the pretrained model, and none."""
    middle = (stream.begin_s + stream.shown_s[-1]) / 2
    fitted = np.flatnonzero((stream.shown_s >= stream.begin_s) & (stream.shown_s < middle))
    judged = np.flatnonzero(stream.shown_s >= middle + stream.sizes.window_s)
    category, log_odds = stream.world.category, stream.log_odds()
    z, y, of = log_odds[fitted], stream.clicks.clicked[fitted], category[fitted]
    found: Mapping[str, Calibration] = {
        "none": Calibration(),
        "temperature": calibrate.fit(z, y, method="temperature"),
        "Platt": calibrate.fit(z, y),
        "isotonic": Calibration(curve=calibrators.isotonic(z, y)),
        "by category": Calibration(slices=calibrators.by_slice(z, y, of)),
    }
    truth, at = stream.truth[judged], category[judged]
    lowest = oracle.log_loss(truth, truth)
    results = []
    for name, calibrator in found.items():
        p = calibrator.probability(log_odds[judged], at)
        loss = oracle.log_loss(truth, p)
        error = float(np.abs(np.bincount(at, p - truth)).sum() / len(at))
        results.append(Calibrated(name, loss, loss - lowest, error, float(p.sum() / truth.sum())))
    return results
