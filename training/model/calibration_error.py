"""The expected calibration error with the part taken out that chance alone makes, and an interval that covers.

The error is ECE = sum over bins of |g|, g the share of the rows in a bin times its mean of predicted - observed. What
is computed from a sample is too large: where the model is right every g is noise, and its absolute value is not zero.
An interval by percentiles of a bootstrap is around that, and noise is added to it a second time, so it excludes the 0
of a perfect model. Here the interval is made by asking which errors could have given what was observed (test inversion;
Casella and Berger, Statistical Inference, 9.2.1): the gaps are scaled from none to many times those observed, noise of
their estimated covariance is added, and the scales are kept under which the observed sum is neither too large nor too
small. The value is the error under which it is the median.

The shape that is scaled must not hold the noise of the observed gaps, which would be added twice again. Predictions are
mostly wrong by a factor that changes little from bin to bin, so the shape is that of such a factor, fitted, and of what
the bins differ from it, shrunk by the share of the noise in that (empirical Bayes; Efron and Morris, 1973).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 1000


def estimate(gap: Floats, predicted: Floats, covariance: Floats, seed: int) -> tuple[float, float, float]:
    """Value, low and high of a 95 % interval of sum |g|.

    Args:
        gap: observed g by bin, in the order of what is predicted, [K].
        predicted: sum of what is predicted in a bin, by the number of all rows, [K].
        covariance: of its noise, [K, K].
    """
    observed = float(np.abs(gap).sum())
    variance = np.diag(covariance)
    shape = _shape(gap, predicted, variance)
    size = float(np.abs(shape).sum())
    if not size or not variance.any():
        return observed, observed, observed
    values, vectors = np.linalg.eigh(covariance)
    half = np.random.default_rng(seed).standard_normal((DRAWS // 2, len(gap)))
    noise = (half * np.sqrt(np.maximum(values, 0))) @ vectors.T
    noise = np.concatenate([noise, -noise])  # so that every quantile grows with the scale

    def scale(quantile: float) -> float:
        """Under which the observed sum is this quantile of what could be observed; 0 where even noise alone is more."""

        def beyond(times: float) -> bool:
            return bool(np.quantile(np.abs(times * shape + noise).sum(1), quantile) >= observed)

        if beyond(0.0):
            return 0.0
        low, high = 0.0, 1.0
        while not beyond(high):
            low, high = high, 2 * high
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (low, middle) if beyond(middle) else (middle, high)
        return high

    value, bottom, top = (scale(q) * size for q in (0.5, 0.975, 0.025))
    return value, bottom, top


def _shape(gap: Floats, predicted: Floats, variance: Floats) -> Floats:
    if len(gap) < 4 or not variance.all():
        return gap
    factors = np.stack([predicted, predicted * np.linspace(-1, 1, len(gap))], axis=1)
    weight = 1 / np.sqrt(variance)[:, None]
    factor = factors @ np.linalg.lstsq(factors * weight, gap * weight[:, 0], rcond=None)[0]
    rest = gap - factor
    real = max(0.0, 1 - (len(gap) - 2) / float((rest**2 / variance).sum())) if rest.any() else 0.0
    return factor + np.sqrt(real) * rest  # type: ignore[no-any-return]


def covariance(rows: Floats, request: NDArray[np.int64], bins: NDArray[np.int64], count: int) -> Floats:
    """Of the sums by bin of independent requests, [count, count].

    Args:
        rows: what each row adds to the sum of its bin, [N].
        request, bins: the request of each row from 0, and its bin, [N].
    """
    cells = np.bincount(request * count + bins, rows, (int(request.max()) + 1) * count)
    sums: Floats = cells.astype(np.float64).reshape(-1, count)
    return sums.T @ sums
