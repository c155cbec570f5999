"""Guards a training set: a Great Expectations suite made from the contract that the set carries.

The contract knows every column, its type and its width, so a feature that is added is checked without an edit here.
The statuses say which values may be missing: a number may be null only where its status says why, and a feature that
was logged but present in no row, or in fewer than was declared, has lost its source.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs

from adfeast.clock import Clock, to_datetime
from adfeast.contract.signature import AD, USER
from adfeast.feast_ext.registry import load_definitions
from adfeast.lake import filesystem, parquet_files
from adfeast.ledger import LAKE, Ledger
from adfeast.settings import Settings
from training.data.columns import column_names, contract_of, interval_of, training_schema
from training.data.expectations import evaluate
from training.data.training_set_suite import OTHERS, frame, statuses, suite
from training.errors import UnusableContract, ValidationFailed

log = logging.getLogger(__name__)
JOB = "validation"
RULE = 4  # of checking; raise it when the same rows would be judged otherwise
CLICK_RATE = (0.0, 0.5)  # a set outside is broken, whatever the campaign


@dataclass(frozen=True)
class Checked:
    """What was checked; `statuses` is feature to the name of a status to its rows."""

    rows: int
    expectations: int
    statuses: dict[str, dict[str, int]] = field(default_factory=dict)


def run(
    settings: Settings,
    path: str,
    clock: Clock,
    click_rate: tuple[float, float] = CLICK_RATE,
    most_missing: Mapping[str, float] | None = None,
) -> Checked:
    """Checks a training set; files that have passed already are not read again.

    Args:
        path: its folder.
        click_rate: smallest and largest share of positive labels; a set without a positive or without a negative label
            cannot be learnt from and fails in any case.
        most_missing: largest share of rows in which a feature's value may be unknown; see `training_set_suite.suite`.

    Raises:
        ValidationFailed: names every expectation that is not met, with examples.
        RunInProgress: another process checks the same files.
    """
    fs, folder = filesystem(settings, path)
    files = parquet_files(fs, folder)
    if not files:
        raise ValidationFailed(path, ["expect_table_row_count_to_be_between: there is no Parquet file"])
    dataset = pads.dataset(files, filesystem=fs, format="parquet")
    start, end = map(to_datetime, interval_of(dataset.schema))
    limits = dict(most_missing or {})
    subject, digest = path.rstrip("/")[-200:], _digest(fs, files, click_rate, limits)
    ledger = Ledger(settings, clock)
    with ledger.claim(JOB, subject, digest, start, end, apart=LAKE) as claim:
        if claim is not None:
            checked = _check(settings, path, dataset, click_rate, limits)
            claim.rows = checked.rows
            claim.facts |= asdict(checked)
            return checked
    log.info("training set %s has passed already", path)
    [passed] = [r for r in ledger.runs(JOB, subject) if (r.digest, r.end) == (digest, end)]
    return Checked(**passed.facts)


def _digest(fs: pafs.FileSystem, files: list[str], click_rate: tuple[float, float], limits: Mapping[str, float]) -> str:
    """Of the files as they stand and of how they are judged."""
    stands = [(f.path, f.size, f.mtime_ns) for f in fs.get_file_info(files)]
    return hashlib.sha256(json.dumps([RULE, click_rate, sorted(limits.items()), stands]).encode()).hexdigest()


def _check(
    settings: Settings,
    path: str,
    dataset: pads.Dataset,
    click_rate: tuple[float, float],
    limits: Mapping[str, float],
) -> Checked:
    keys = load_definitions(settings).entities
    try:
        contract = contract_of(dataset.schema)
        wanted = training_schema(contract, keys[USER], keys[AD], interval_of(dataset.schema))
    except UnusableContract as error:
        raise ValidationFailed(path, [str(error)]) from error
    if problems := _compare(dataset.schema, wanted):
        raise ValidationFailed(path, problems)
    if unknown := sorted(set(limits) - {*column_names(contract).values(), OTHERS}):
        raise ValidationFailed(path, [f"expect_column_to_exist({name})" for name in unknown])
    table = dataset.to_table()
    failed, count = evaluate("training_set", frame(table, contract), suite(table, contract, click_rate, limits))
    if failed:
        raise ValidationFailed(path, failed)
    log.info("training set %s: %d rows meet %d expectations", path, table.num_rows, count)
    return Checked(table.num_rows, count, statuses(table, contract))


def _compare(found: pa.Schema, wanted: pa.Schema) -> list[str]:
    problems = []
    for column in wanted:
        at = found.get_field_index(column.name)
        if at < 0:
            problems.append(f"expect_column_to_exist({column.name})")
        elif found.field(at).type != column.type:
            problems.append(f"expect_column_values_to_be_of_type({column.name}, {column.type}): {found.field(at).type}")
    return problems
