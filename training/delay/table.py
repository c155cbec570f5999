"""All methods of learning from delayed clicks."""

from __future__ import annotations

from training.delay.fake_negatives import ElapsedTimeSampling, FakeNegativeCalibration, FakeNegativeWeighted
from training.delay.method import Method
from training.delay.real_negatives import RealNegatives
from training.delay.waiting import Linear, Wait


def methods(wait_s: float, window_s: float) -> tuple[Method, ...]:
    """Each method for a label window; those that can wait a little do so for `wait_s`."""
    return (
        Wait(window_s),
        Linear(),
        FakeNegativeWeighted(),
        FakeNegativeCalibration(),
        FakeNegativeCalibration(wait_s, "FNC with a wait"),
        ElapsedTimeSampling(wait_s),
        RealNegatives(wait_s),
    )
