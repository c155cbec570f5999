"""`make bench-world`: what the shipped kinds of model learn of a world with a known truth, by the ordinary path.

A figure on a world is none on real data: it says that what can be learnt is learnt, and that probabilities mean what
they say where the truth is known.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.table import Table

from adfeast.feast_ext.repo import declared
from adfeast.settings import ROOT, Settings
from benchmarks.harness import report
from benchmarks.harness.learning_a_world import Learning, Line, Slice
from training.model.config import TrainConfig, read_config
from training.model.fit import KINDS
from training.world.spec import WorldSpec

JUDGED_ROWS = 50_000  # a slice of fewer has too few clicks to ask for a small calibration error


@click.command()
@click.option("--impressions", default=200_000, show_default=True)
@click.option("--users", default=50_000, show_default=True)
@click.option("--ads", default=2_000, show_default=True)
@click.option("--days", default=7.0, show_default=True)
@click.option("--drift", default=0.2, show_default=True, help="deviation of a category's step in log-odds, a day")
@click.option("--label-window-m", default=30.0, show_default=True)
@click.option("--model", "kinds", multiple=True, type=click.Choice(KINDS), help="kinds to train; all if none is named")
@click.option("--config", "config_file", type=click.Path(path_type=Path, exists=True), help="as of `model train`")
@click.option("--hash-size", "hash_sizes", multiple=True, metavar="NAME=N", help="as of `model train`")
@click.option("--seed", default=0, show_default=True)
def main(
    impressions: int,
    users: int,
    ads: int,
    days: float,
    drift: float,
    label_window_m: float,
    kinds: tuple[str, ...],
    config_file: Path | None,
    hash_sizes: tuple[str, ...],
    seed: int,
) -> None:
    """Trains on a world and judges by its truth."""
    logging.getLogger("training").setLevel(logging.INFO)
    show, settings, began = report.console(), Settings(), time.monotonic()
    spec = WorldSpec(seed=seed, impressions=impressions, users=users, ads=ads, days=days, drift=drift)
    config = read_config(config_file) if config_file else TrainConfig()
    sizes = {name: int(size) for name, _, size in (text.partition("=") for text in hash_sizes)}
    bench = ROOT / ".local" / "bench"
    bench.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=bench) as folder:
        learning = Learning(
            spec, declared(settings), settings.feature_service, Path(folder), label_window_m * 60, config, sizes
        )
        found = learning.run(kinds or KINDS)
    show.print(line_table(found.lines, found.rows["held_out"]))
    show.print(slice_table(found.slices))
    file = bench / f"world-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    kept = {"machine": report.machine(), "spec": asdict(spec), "config": config.model_dump(), **asdict(found)}
    file.write_text(json.dumps(kept, indent=1))
    show.print(f"{time.monotonic() - began:,.0f} s; kept in {file.relative_to(ROOT)}")


def line_table(lines: list[Line], rows: int) -> Table:
    """One line an answer."""
    table = Table(
        title=f"{rows:,} held-out impressions, judged by their true rates",
        caption="gap closed: 0 as the prior, 100 % as the true rates (oracle), as all that could be known (knowable)",
    )
    table.add_column("answer")
    for name in ("log loss", "gap closed", "of what is knowable", "AUC"):
        table.add_column(name, justify="right")
    for line in lines:
        shares = (f"{100 * share:.1f} %" for share in (line.closed, line.closed_knowable))
        table.add_row(line.name, f"{line.log_loss:.6f}", *shares, f"{line.auc:.4f}")
    return table


def slice_table(slices: list[Slice]) -> Table:
    """One line a slice and kind; those that are too small to judge are grey."""
    table = Table(title="by slice", caption="ECE by the true rates; in brackets its interval from the clicks alone")
    table.add_column("kind")
    table.add_column("slice")
    for name in ("rows", "ECE", "ECE from clicks", "predicted by true", "gap closed", "of what is knowable"):
        table.add_column(name, justify="right")
    for s in slices:
        if not s.rows:
            continue
        metric = s.measured
        told = "-" if metric.value is None else f"{metric.value:.5f} [{metric.low:.5f}, {metric.high:.5f}]"
        shares = (f"{100 * share:.1f} %" for share in (s.closed, s.closed_knowable))
        style = None if s.rows >= JUDGED_ROWS else "dim"
        table.add_row(s.kind, s.name, f"{s.rows:,}", f"{s.ece:.5f}", told, f"{s.ratio:.3f}", *shares, style=style)
    return table


if __name__ == "__main__":
    main()
