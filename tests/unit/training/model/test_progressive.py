"""The calibration that is served is the one that later rows prefer, and Platt scaling where they do not tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adfeast.contract.signature import Input, Signature
from adfeast.contract.tensors import Tensors
from training.model.calibrate import Calibration
from training.model.calibrators import BySlice, Isotonic
from training.model.dataset import Batch
from training.model.errors import InputError, ModelError
from training.model.head import Head
from training.model.prep import rows_of
from training.model.progressive import Method, fit

SIZES = {"kind": 8, "who": 5000, "where": 4}
SIGNATURE = Signature("s", tuple(Input(n, "v", "ad", "sparse", "int64", hash_size=s) for n, s in SIZES.items()))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def sample(how: str, rows: int = 60_000, rate: float = -2.0) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Rows, their times and a model's logits, which the truth differs from."""
    random = np.random.default_rng(0)
    logit = random.normal(rate, 1.0, rows)
    ids = random.integers(0, 20, (rows, 3))
    kind = rows_of(torch.from_numpy(ids[:, 0]), torch.tensor(8)).numpy()
    truth = {
        "shifted": 0.8 * logit + 0.5,
        "bent": np.where(logit > rate, 2.0 * logit - rate, 0.4 * logit + 0.6 * rate),
        "by slice": logit + random.normal(0, 0.6, 9)[kind],
    }[how]
    label = (random.random(rows) < sigmoid(truth)).astype(np.float32)
    nothing = np.zeros((rows, 0), np.float32)
    tensors = Tensors(nothing, ids, np.zeros((rows, 0), np.int64), nothing)
    return Batch(tensors, label, np.ones(rows, np.float32), np.arange(rows) // 10), np.arange(rows), logit


@pytest.mark.parametrize(
    ("how", "method"), [("shifted", "scale and shift"), ("bent", "isotonic"), ("by slice", "by slice of kind")]
)
def test_what_is_wrong_chooses_the_calibration(how: str, method: str) -> None:
    found, compared = fit(*sample(how), SIGNATURE, "auto")
    assert found.method == method
    assert set(compared) == {"temperature", "isotonic", "by_slice kind", "by_slice where"}  # not by who it is


@pytest.mark.parametrize("how", ["bent", "by slice"])
def test_few_clicks_leave_platt_scaling(how: str) -> None:
    assert fit(*sample(how, 2000, rate=-4.5), SIGNATURE, "auto")[0].method == "scale and shift"


def test_a_method_that_is_named_is_taken() -> None:
    rows = sample("by slice")
    methods: dict[Method, str] = {
        "platt": "scale and shift",
        "temperature": "scale and shift",
        "isotonic": "isotonic",
        "by_slice": "by slice of kind",
    }
    found = {m: fit(*rows, SIGNATURE, m)[0] for m in methods}
    assert {m: c.method for m, c in found.items()} == methods
    assert found["temperature"].shift == 0
    assert fit(*rows, SIGNATURE, "by_slice", ["who"])[0].by == "who"
    with pytest.raises(InputError, match=r"'nothing'.*kind, who, where"):
        fit(*rows, SIGNATURE, "by_slice", ["nothing"])


@pytest.mark.parametrize("clicks", [0, 1])
def test_a_part_of_one_outcome_or_without_rows_breaks_nothing(clicks: int) -> None:
    rows, times, logit = sample("shifted", 300)
    rows = Batch(rows.tensors, np.full(300, clicks, np.float32), rows.weight, rows.request)
    assert fit(rows, times, logit, SIGNATURE, "auto")[0].method == "scale and shift"
    none = rows.take(np.zeros(300, bool))
    assert fit(none, times[:0], logit[:0], SIGNATURE, "auto")[0] == Calibration()


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(0.9, -0.2),
        Calibration(0.9, -0.2, curve=Isotonic(np.array([-4.0, -2.0, 1.0]), np.array([-5.0, -1.5, 1.2]))),
        Calibration(1.1, 0.1, slices=BySlice(np.linspace(-1, 1, 7), 0.5), by="kind"),  # its last buckets were not seen
    ],
)
def test_the_head_answers_as_the_calibration_does(calibration: Calibration) -> None:
    random = np.random.default_rng(1)
    logit = random.normal(-2, 3, 500)
    ids = torch.from_numpy(random.integers(-1, 1000, (500, 3)))
    head = Head(calibration, 0.5, SIGNATURE).double()
    found = head(torch.from_numpy(logit)[:, None], ids)[:, 0].numpy()
    of = rows_of(ids[:, 0], torch.tensor(8)).numpy()
    assert found == pytest.approx(calibration.probability(logit + np.log(0.5), of), rel=1e-6)


def test_slices_need_the_input_that_tells_them() -> None:
    with pytest.raises(ModelError, match="'other'"):
        Head(Calibration(slices=BySlice(np.zeros(2), 0.1), by="other"), signature=SIGNATURE)
