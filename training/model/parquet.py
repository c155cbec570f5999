"""The Parquet files of a training set: what they hold, and a column's values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adfeast.contract.base_rates import BaseRates
from adfeast.contract.events import EVENT_TIME, REQUEST_ID
from adfeast.contract.signature import DTYPES, Contract, Identity, Input, Signature
from training.data.columns import LABEL, WEIGHT, column_names, contract_of, missing_values, status_column
from training.errors import UnusableContract
from training.model.errors import TrainingSetError

Opened = list[tuple[Path, pq.ParquetFile]]


def logged(path: str | Path) -> Contract:
    """What was logged of the rows of a training set.

    Raises:
        TrainingSetError: no files or no rows, or files of different contracts.
    """
    return contract_of(open_files(Path(path))[0][1].schema_arrow)


def open_files(path: Path) -> Opened:
    """The finished files that have rows; raises what `logged` does."""
    names = sorted(p for p in path.glob("**/*.parquet") if p.name[0] not in "._")
    opened = [(name, pq.ParquetFile(name)) for name in names]
    filled = [(name, file) for name, file in opened if file.metadata.num_rows]
    if not filled:
        raise TrainingSetError(f"training set {path} has no rows: run the label join for a longer time")
    try:
        found = {contract_of(file.schema_arrow) for _, file in filled}
    except UnusableContract as error:
        raise TrainingSetError(f"training set {path}: {error}") from error
    if len(found) != 1:
        raise TrainingSetError(f"training set {path} needs one contract in all files, has {len(found)}")
    return filled


def click_rates(path: Path, ad_key: str = "") -> BaseRates:
    """Those of all impressions of a training set, and, where its column of ad ids is named, of each ad."""
    wanted = [LABEL, WEIGHT, *([ad_key] if ad_key else [])]
    whole = pa.concat_tables([file.read(wanted) for _, file in open_files(path)])
    labels, weights = whole[LABEL].to_numpy(), whole[WEIGHT].to_numpy()
    ads = whole[ad_key].to_pylist() if ad_key else [""] * len(labels)
    found = BaseRates.count(ads, labels, weights)
    return found if ad_key else BaseRates(found.prior)


def input_columns(path: Path, opened: Opened, signature: Signature) -> dict[Input, str]:
    """The column of each input; inputs that were never logged have none.

    Raises:
        TrainingSetError: a file lacks a column that its contract names.
    """
    held = column_names(contract_of(opened[0][1].schema_arrow))
    found = {i: held[i.identity] for i in signature.inputs if i.identity in held}
    needed = {LABEL, WEIGHT, REQUEST_ID, EVENT_TIME, *found.values(), *map(status_column, found.values())}
    for name, file in opened:
        if missing := needed - set(file.schema_arrow.names):
            raise TrainingSetError(f"{name} lacks the columns {', '.join(sorted(missing))}")
    return found


def column_values(column: pa.ChunkedArray, i: Identity) -> NDArray[Any]:
    """The values of a feature, one block; a null is a missing value."""
    array = column.combine_chunks()
    missing = missing_values(i, 1)[0, 0].item()
    if i.role in ("dense", "sparse"):
        return array.fill_null(missing).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    flat = (
        array.drop_null().flatten().fill_null(missing)
    )  # a null row has no values: flattening it would shift the others
    if len(flat) != valid.sum() * i.width:
        raise TrainingSetError(f"column {i.name!r} must hold {i.width} values in every row, as its contract says")
    if valid.all():
        return flat.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    out = np.full((len(array), i.width), missing, DTYPES[i.role])
    out[valid] = flat.to_numpy(zero_copy_only=False).reshape(-1, i.width)
    return out
