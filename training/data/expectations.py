"""Runs Great Expectations over a data frame in memory and says in one line each what is not met."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from types import ModuleType
from typing import Any

import pandas as pd

EXAMPLES = 3


def great_expectations() -> ModuleType:
    """The package, imported when it is needed, because that takes seconds, and told not to call home."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"  # read at import
    import great_expectations as gx

    return gx  # type: ignore[no-any-return]


def evaluate(name: str, frame: pd.DataFrame, expectations: list[Any]) -> tuple[list[str], int]:
    """Evaluates a suite.

    Returns:
        a text for each expectation that is not met, with its column and examples, and the number that are met.
    """
    suite = great_expectations().ExpectationSuite(name=name, expectations=expectations)
    outcomes = _frames().get_batch({"dataframe": frame}).validate(suite).results
    failed = [_say(o) for o in outcomes if not o.success]
    return failed, len(outcomes) - len(failed)


@lru_cache
def _frames() -> Any:
    # One context a process: each makes a folder of its own below TMPDIR, and takes a second.
    context = great_expectations().get_context(mode="ephemeral")
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")


def _say(outcome: Any) -> str:
    config = outcome.expectation_config
    text = f"{config.type}({config.kwargs.get('column', 'table')})"
    bounds = {k: v for k, v in config.kwargs.items() if k in ("min_value", "max_value", "mostly") and v is not None}
    text += f" {json.dumps(bounds, default=str)}" if bounds else ""
    result = outcome.result or {}
    if result.get("unexpected_count"):
        examples = json.dumps(result.get("partial_unexpected_list", [])[:EXAMPLES], default=str)
        return f"{text}: {result['unexpected_count']} rows, such as {examples}"
    raised = outcome.exception_info or {}
    raised = next((v for v in raised.values() if isinstance(v, dict)), raised)  # by metric, where there are several
    error = raised.get("exception_message")
    return f"{text}: {error or 'observed ' + str(result.get('observed_value'))}"
