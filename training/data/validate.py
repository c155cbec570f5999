"""Guards a training set: a Great Expectations suite made from the signature that the set carries.

The signature knows every column, its type and its width, so a feature that is added is checked without an edit here.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from adfeast.contract.events import EVENT_TIME, IMPRESSION_ID, REQUEST_ID
from adfeast.contract.ids import MISSING_ID
from adfeast.contract.signature import AD, USER, Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.lake import filesystem, parquet_files
from adfeast.settings import Settings
from training.data.decode import LABEL, training_schema
from training.errors import ValidationFailed

log = logging.getLogger(__name__)
CLICK_RATE = (0.0, 0.5)  # a set outside is broken, whatever the campaign
EXAMPLES = 3


@dataclass(frozen=True)
class Checked:
    """What was checked."""

    rows: int
    expectations: int


def run(settings: Settings, path: str, click_rate: tuple[float, float] = CLICK_RATE) -> Checked:
    """Checks a training set.

    Args:
        path: its folder.
        click_rate: smallest and largest share of positive labels; a set without a positive or without a negative label
            cannot be learnt from and fails in any case.

    Raises:
        ValidationFailed: names every expectation that is not met, with examples.
    """
    fs, folder = filesystem(settings, path)
    files = parquet_files(fs, folder)
    if not files:
        raise ValidationFailed(path, ["expect_table_row_count_to_be_between: there is no Parquet file"])
    dataset = pads.dataset(files, filesystem=fs, format="parquet")
    signature = _signature(path, dataset.schema)
    keys = load_definitions(settings).entities
    problems = _compare(dataset.schema, training_schema(signature, keys[USER], keys[AD]))
    if problems:
        raise ValidationFailed(path, problems)
    table = dataset.to_table()
    failed, count = _expect(_frame(table, signature), signature, click_rate)
    if failed:
        raise ValidationFailed(path, failed)
    log.info("training set %s: %d rows meet %d expectations", path, table.num_rows, count)
    return Checked(table.num_rows, count)


def _signature(path: str, schema: pa.Schema) -> Signature:
    stored = (schema.metadata or {}).get(b"signature")
    if stored is None:
        raise ValidationFailed(path, ["its schema has no metadata key 'signature': make it with the label join"])
    return Signature.from_json(stored.decode())


def _compare(found: pa.Schema, wanted: pa.Schema) -> list[str]:
    problems = []
    for field in wanted:
        at = found.get_field_index(field.name)
        if at < 0:
            problems.append(f"expect_column_to_exist({field.name})")
        elif found.field(at).type != field.type:
            problems.append(f"expect_column_values_to_be_of_type({field.name}, {field.type}): {found.field(at).type}")
    return problems


def _frame(table: pa.Table, signature: Signature) -> pd.DataFrame:
    """What GX looks at: numbers as they are; of lists and embeddings the extremes, which are null if an element is."""
    plain = {f.name: table[f.name] for f in table.schema if not pa.types.is_fixed_size_list(f.type)}
    frame = pa.table(plain).to_pandas()
    for i in signature.inputs:
        if i.role not in ("list", "embedding"):
            continue
        column = table[i.name].combine_chunks()
        values = pc.list_flatten(column)
        whole = column.null_count == 0 and values.null_count == 0
        block = (
            values.to_numpy(zero_copy_only=False).reshape(-1, i.width) if whole else np.full((len(column), 1), np.nan)
        )
        frame[f"min({i.name})"], frame[f"max({i.name})"] = block.min(axis=1), block.max(axis=1)
    return frame


def _expect(frame: pd.DataFrame, signature: Signature, click_rate: tuple[float, float]) -> tuple[list[str], int]:
    os.environ["GX_ANALYTICS_ENABLED"] = "False"  # read at import: no call home
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = context.suites.add(gx.ExpectationSuite(name=signature.service, expectations=_suite(signature, click_rate)))
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("training_set")
    batch = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=signature.service, data=batch, suite=suite)
    )
    checkpoint = context.checkpoints.add(gx.Checkpoint(name=signature.service, validation_definitions=[definition]))
    result = checkpoint.run(batch_parameters={"dataframe": frame})
    outcomes = [o for r in result.run_results.values() for o in r.results]
    return [_say(o) for o in outcomes if not o.success], len(outcomes)


def _suite(signature: Signature, click_rate: tuple[float, float]) -> list[Any]:
    from great_expectations import expectations as gxe

    tiny = float(np.finfo(np.float64).tiny)
    rate = {"min_value": max(click_rate[0], tiny), "max_value": click_rate[1]}
    suite: list[Any] = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToBeUnique(column=IMPRESSION_ID),
        gxe.ExpectColumnValuesToBeInSet(column=LABEL, value_set=[0, 1]),
        gxe.ExpectColumnMeanToBeBetween(column=LABEL, **rate),
        gxe.ExpectColumnValuesToBeBetween(column="weight", min_value=0, strict_min=True),
    ]
    suite += [
        gxe.ExpectColumnValuesToNotBeNull(column=c) for c in (LABEL, "weight", IMPRESSION_ID, REQUEST_ID, EVENT_TIME)
    ]
    largest = float(np.finfo(np.float32).max)
    for i in signature.inputs:
        columns = [i.name] if i.role in ("dense", "sparse") else [f"min({i.name})", f"max({i.name})"]
        bounds = (MISSING_ID, 2**63 - 1) if i.role in ("sparse", "list") else (-largest, largest)
        for column in columns:
            suite.append(gxe.ExpectColumnValuesToNotBeNull(column=column))
            suite.append(gxe.ExpectColumnValuesToBeBetween(column=column, min_value=bounds[0], max_value=bounds[1]))
    return suite


def _say(outcome: Any) -> str:
    config = outcome.expectation_config
    text = f"{config.type}({config.kwargs.get('column', 'table')})"
    result = outcome.result or {}
    if result.get("unexpected_count"):
        examples = json.dumps(result.get("partial_unexpected_list", [])[:EXAMPLES], default=str)
        return f"{text}: {result['unexpected_count']} rows, such as {examples}"
    error = (outcome.exception_info or {}).get("exception_message")
    return f"{text}: {error or 'observed ' + str(result.get('observed_value'))}"
