"""Runs Great Expectations over a data frame in memory and says in one line each what is not met."""

from __future__ import annotations

import importlib
import json
import os
from types import ModuleType
from typing import Any

import pandas as pd

EXAMPLES = 3


def great_expectations() -> ModuleType:
    """The package, imported when it is needed, because that takes seconds, and told not to call home."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"  # read at import
    return importlib.import_module("great_expectations")


def evaluate(name: str, frame: pd.DataFrame, expectations: list[Any]) -> tuple[list[str], int]:
    """Evaluates a suite.

    Returns:
        a text for each expectation that is not met, with its column and examples, and the number that are met.
    """
    gx = great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    checkpoint = context.checkpoints.add(gx.Checkpoint(name=name, validation_definitions=[definition]))
    result = checkpoint.run(batch_parameters={"dataframe": frame})
    outcomes = [o for r in result.run_results.values() for o in r.results]
    failed = [_say(o) for o in outcomes if not o.success]
    return failed, len(outcomes) - len(failed)


def _say(outcome: Any) -> str:
    config = outcome.expectation_config
    text = f"{config.type}({config.kwargs.get('column', 'table')})"
    bounds = {k: v for k, v in config.kwargs.items() if k in ("min_value", "max_value", "mostly") and v is not None}
    text += f" {json.dumps(bounds, default=str)}" if bounds else ""
    result = outcome.result or {}
    if result.get("unexpected_count"):
        examples = json.dumps(result.get("partial_unexpected_list", [])[:EXAMPLES], default=str)
        return f"{text}: {result['unexpected_count']} rows, such as {examples}"
    error = (outcome.exception_info or {}).get("exception_message")
    return f"{text}: {error or 'observed ' + str(result.get('observed_value'))}"
