"""Which calibration a model is served with: the one that does best on rows later than those that it was fitted to.

The calibration part is cut into blocks by time. Each calibration is fitted to the blocks before a block and judged on
it (Blum, Kalai and Langford, Beating the Hold-Out, 1999; Dawid, The Prequential Approach, 1984), and the one chosen is
then fitted to all of them. Platt scaling stands unless another is better by more than chance explains: with few clicks
a curve, or shifts by slice, would follow noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from adfeast.contract.signature import Signature
from training.model import calibrate, calibrators
from training.model.calibrate import Calibration
from training.model.calibrators import Floats
from training.model.dataset import Batch
from training.model.errors import InputError
from training.model.prep import rows_of

Method = Literal["auto", "platt", "temperature", "isotonic", "by_slice"]
BLOCKS = 4
MOST_SLICES = 1024  # an input of more buckets says who, not what sort
ERRORS = 2.0  # standard errors by which another calibration must be better than Platt scaling
PLATT = "platt"
_Way = tuple[str, str]  # a method, and the input that says of which slice a row is


def fit(
    rows: Batch,
    times: NDArray[np.int64],
    logit: Floats,
    signature: Signature,
    method: Method,
    by: Sequence[str] = (),
) -> tuple[Calibration, dict[str, Any]]:
    """The calibration of logits [N] (after the downsampling correction) of rows at `times` [N].

    Args:
        method: `auto` chooses among all of them; `by_slice` among the inputs that may say of which slice a row is.
        by: names of those inputs; none names all id inputs of at most MOST_SLICES buckets.

    Returns:
        The calibration, and how much lower the mean log loss of each way was than Platt scaling's, with the standard
        error of that, where there was a choice.

    Raises:
        InputError: an input of `by` is no id input of the model.
    """
    slices = _slices(rows, signature, by)
    every: list[_Way] = [(PLATT, ""), ("temperature", ""), ("isotonic", ""), *(("by_slice", name) for name in slices)]
    ways = [w for w in every if method in ("auto", w[0])] or [(PLATT, "")]
    rates = _compare(rows, times, logit, slices, ways) if len(ways) > 1 else {}
    best, most = ways[0], 0.0
    for way, (gain, error) in rates.items():
        if gain > most and (gain > ERRORS * error or method != "auto"):
            best, most = way, gain
    told = {_name(way): {"gain": gain, "error": error} for way, (gain, error) in rates.items()}
    return _fit(best, rows.label, rows.weight, logit, slices), told


def _fit(
    way: _Way, label: NDArray[Any], weight: NDArray[Any], logit: Floats, slices: Mapping[str, NDArray[np.int64]]
) -> Calibration:
    method, by = way
    found = calibrate.fit(logit, label, weight, "temperature" if method == "temperature" else "platt")
    if not len(label) or method in (PLATT, "temperature"):
        return found
    straight = found.log_odds(logit)
    if method == "isotonic":
        return Calibration(found.scale, found.shift, curve=calibrators.isotonic(straight, label, weight))
    own = calibrators.by_slice(straight, label, slices[by], weight)
    return Calibration(found.scale, found.shift, slices=own, by=by)


def _compare(
    rows: Batch,
    times: NDArray[np.int64],
    logit: Floats,
    slices: Mapping[str, NDArray[np.int64]],
    ways: Sequence[_Way],
) -> dict[_Way, tuple[float, float]]:
    """Mean gain of each way over Platt scaling on later rows, and its standard error over requests."""
    edges = np.quantile(times, np.linspace(0, 1, BLOCKS + 1)[1:-1]) if len(times) else np.zeros(BLOCKS - 1)
    block = np.searchsorted(edges, times, side="left")
    gains = {way: np.zeros(len(times)) for way in ways}
    for n in range(1, BLOCKS):
        before, own = block < n, block == n
        clicks = rows.label[before].sum()
        if not 0 < clicks < before.sum() or not own.any():
            continue
        earlier = {name: of[before] for name, of in slices.items()}
        losses = {}
        for way in dict.fromkeys([(PLATT, ""), *ways]):
            found = _fit(way, rows.label[before], rows.weight[before], logit[before], earlier)
            z = found.log_odds(logit[own], slices[way[1]][own] if way[1] else None)
            losses[way] = rows.weight[own] * (np.logaddexp(0, z) - rows.label[own] * z)
        for way in ways:
            gains[way][own] = losses[PLATT, ""] - losses[way]
    judged = block > 0
    total = max(float(rows.weight[judged].sum()), 1e-300)
    _, request = np.unique(rows.request, return_inverse=True)
    return {way: (float(g.sum() / total), _error(g, request) / total) for way, g in gains.items() if way[0] != PLATT}


def _error(gain: Floats, request: NDArray[np.int64]) -> float:
    """Standard error of the sum of what the rows gain, of independent requests."""
    return float(np.sqrt((np.bincount(request, gain) ** 2).sum()))


def _slices(rows: Batch, signature: Signature, by: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Of which slice each row is, by the name of the input that says it."""
    inputs = signature.role("sparse")
    if unknown := [name for name in by if name not in {i.name for i in inputs}]:
        raise InputError(
            f"no calibration by slices of {', '.join(map(repr, unknown))}: the id inputs of the model are "
            f"{', '.join(i.name for i in inputs)}"
        )
    ids = torch.from_numpy(rows.tensors.ids)
    return {
        i.name: rows_of(ids[:, n], torch.tensor(i.hash_size)).numpy()
        for n, i in enumerate(inputs)
        if (i.name in by if by else i.hash_size <= MOST_SLICES)
    }


def _name(way: _Way) -> str:
    return f"{way[0]} {way[1]}".strip()
