"""A model's inputs are taken out of what was logged by identity, and only what is missing gets its default."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adfeast.contract.signature import DTYPES, TENSORS, Contract, Identity, Input, Signature
from adfeast.contract.tensors import Selection, Tensors
from adfeast.errors import NotLogged

LOGGED = Contract(
    (
        Identity("n1", "v", "user", "dense", "float32", made="x"),
        Identity("i1", "v", "user", "sparse", "int64"),
        Identity("n2", "w", "ad", "dense", "float32"),
        Identity("l1", "w", "ad", "list", "int64_list", width=2),
        Identity("e1", "w", "ad", "embedding", "float32_list", width=3),
        Identity("i2", "w", "ad", "sparse", "int64"),
    )
)


def numbered(rows: int) -> Tensors:
    """Every cell another number."""
    return Tensors(
        **{
            name: np.arange(rows * LOGGED.width(role)).reshape(rows, -1).astype(DTYPES[role])
            for role, name in TENSORS.items()
        }
    )


def taken(*names: str, **changes: object) -> Signature:
    by_name = {i.name: i for i in LOGGED.inputs}
    return Signature("s", tuple(Input(**(vars(by_name[n]) | changes)) for n in names))


def test_columns_follow_the_model_and_not_the_log():
    logged = numbered(4)
    found = Selection(LOGGED, taken("i2", "n2", "e1", "i1", "n1")).take(logged)
    np.testing.assert_array_equal(found.dense, logged.dense[:, [1, 0]])
    np.testing.assert_array_equal(found.ids, logged.ids[:, [1, 0]])
    np.testing.assert_array_equal(found.embeddings, logged.embeddings)
    assert found.lists.shape == (4, 0)
    assert all(found.of(role).flags["C_CONTIGUOUS"] for role in TENSORS)


def test_a_missing_number_gets_each_models_own_default_and_the_log_keeps_the_gap():
    logged = numbered(2)
    logged.dense[1, 0] = np.nan
    for default in (0.0, 7.5):
        found = Selection(LOGGED, taken("n1", default=default)).take(logged)
        assert found.dense.tolist() == [[0.0], [default]]
    assert np.isnan(logged.dense[1, 0])


def test_an_input_that_is_made_in_another_way_was_not_logged():
    other = taken("n1", "i1")
    other = replace(other, inputs=(replace(other.inputs[0], made="y"), other.inputs[1]))
    with pytest.raises(NotLogged, match=r"does not hold the inputs n1$"):
        Selection(LOGGED, other)
