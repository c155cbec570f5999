"""What is expected of a training set's columns, as Great Expectations checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from adfeast.contract.events import EVENT_TIME, IMPRESSION_ID, REQUEST_ID
from adfeast.contract.ids import MISSING_ID
from adfeast.contract.rungs import Rung
from adfeast.contract.signature import Contract
from adfeast.contract.tensors import Status
from training.data.columns import (
    ATTEMPT_ID,
    LABEL,
    MODEL,
    NOT_LOGGED,
    RUNG,
    SCORE,
    STATUS_TEXTS,
    WEIGHT,
    column_names,
    status_column,
)
from training.data.expectations import great_expectations

_LARGEST = float(np.finfo(np.float32).max)
_ANY = "present(any feature)"
OTHERS = "*"
_TINY = float(np.finfo(np.float64).tiny)


def frame(table: pa.Table, contract: Contract) -> pd.DataFrame:
    """What GX looks at: values as they are; of lists and embeddings the extremes, which are null if an element is.

    Beside each feature stands where it is present (null where it was not logged), and the status of rows in which a
    number is null; and once for all, where any feature is present.
    """
    plain = {f.name: table[f.name] for f in table.schema if not pa.types.is_fixed_size_list(f.type)}
    found = pa.table(plain).to_pandas()
    added: dict[str, Any] = {}
    for i, name in column_names(contract).items():
        status = table[status_column(name)].to_numpy()
        added[_present(name)] = np.where(status == NOT_LOGGED, np.nan, status == Status.PRESENT)
        if i.role == "dense":
            null = table[name].is_null().to_numpy()
            added[_null(name)] = np.where(null, status.astype(np.float64), np.nan)
        elif i.role in ("list", "embedding"):
            block = _block(table[name], i.width)
            added[f"min({name})"], added[f"max({name})"] = block.min(axis=1), block.max(axis=1)
    known = [added[_present(name)] == 1 for name in column_names(contract).values()]
    added[_ANY] = np.any(known, axis=0).astype(np.float64)
    return pd.concat([found, pd.DataFrame(added, index=found.index)], axis=1)


def suite(
    table: pa.Table,
    contract: Contract,
    click_rate: tuple[float, float],
    most_missing: Mapping[str, float] | None = None,
) -> list[Any]:
    """The expectations; a feature that was logged in no row need not be present in one, unless none is in any.

    Args:
        most_missing: by feature, in which share of the rows that logged it its value may be unknown (missing, too old
            or stale); `*` is for those that are not named. Without either it must be known in one row at least.
    """
    limits = dict(most_missing or {})
    gxe = great_expectations().expectations

    expected: list[Any] = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToBeUnique(column=IMPRESSION_ID),
        gxe.ExpectColumnValuesToBeInSet(column=LABEL, value_set=[0, 1]),
        gxe.ExpectColumnMeanToBeBetween(column=LABEL, min_value=max(click_rate[0], _TINY), max_value=click_rate[1]),
        gxe.ExpectColumnValuesToBeBetween(column=WEIGHT, min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column=SCORE, min_value=0, max_value=1),
        gxe.ExpectColumnValuesToBeInSet(column=RUNG, value_set=[rung.text for rung in Rung]),
    ]
    expected.append(gxe.ExpectColumnMeanToBeBetween(column=_ANY, min_value=_TINY))
    whole = (LABEL, WEIGHT, SCORE, MODEL, RUNG, ATTEMPT_ID, IMPRESSION_ID, REQUEST_ID, EVENT_TIME)
    expected += [gxe.ExpectColumnValuesToNotBeNull(column=c) for c in whole]
    reasons = [status for status in STATUS_TEXTS if status != Status.PRESENT]
    for i, name in column_names(contract).items():
        status = status_column(name)
        expected.append(gxe.ExpectColumnValuesToNotBeNull(column=status))
        expected.append(gxe.ExpectColumnValuesToBeInSet(column=status, value_set=[*reasons, int(Status.PRESENT)]))
        if pc.any(pc.not_equal(table[status], NOT_LOGGED)).as_py():
            least = max(_TINY, 1 - limits.get(name, limits.get(OTHERS, 1.0)))
            expected.append(gxe.ExpectColumnMeanToBeBetween(column=_present(name), min_value=least))
        if i.role == "dense":
            expected.append(gxe.ExpectColumnValuesToBeInSet(column=_null(name), value_set=reasons))
        columns = [name] if i.role in ("dense", "sparse") else [f"min({name})", f"max({name})"]
        low, high = (MISSING_ID, 2**63 - 1) if i.role in ("sparse", "list") else (-_LARGEST, _LARGEST)
        for column in columns:
            if i.role != "dense":
                expected.append(gxe.ExpectColumnValuesToNotBeNull(column=column))
            expected.append(gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high))
    return expected


def statuses(table: pa.Table, contract: Contract) -> dict[str, dict[str, int]]:
    """Rows of each feature by what is known of its value, in the words of `STATUS_TEXTS`."""
    found = {}
    for name in column_names(contract).values():
        counted = pc.value_counts(table[status_column(name)]).to_pylist()
        rows = {STATUS_TEXTS[c["values"]]: c["counts"] for c in counted}
        found[name] = {text: rows[text] for text in STATUS_TEXTS.values() if text in rows}
    return found


def _present(name: str) -> str:
    return f"present({name})"


def _null(name: str) -> str:
    return f"null({name})"


def _block(column: pa.ChunkedArray, width: int) -> np.ndarray[Any, Any]:
    array = column.combine_chunks()
    values = pc.list_flatten(array)
    if array.null_count or values.null_count:
        return np.full((len(array), 1), np.nan)
    return values.to_numpy(zero_copy_only=False).reshape(-1, width)  # type: ignore[no-any-return]
