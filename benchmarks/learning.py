"""How much of what fresh labels are worth does each method of learning from delayed clicks keep, on a known world?

`python -m benchmarks.learning` makes worlds whose click rates drift and whose clicks come late (docs/world.md), and
lets a small logistic regression learn hour by hour, see `benchmarks.harness.delayed_feedback`. It prints, by method,
log loss and AUC against the true rates and RI = (method - pretrained) / (oracle - pretrained) of both: 1 is as good as
knowing every final label at once, 0 as good as learning nothing, below 0 worse than that. With several worlds it is the
mean and its standard error.

Then the pretrained model, which the drift has left behind, is calibrated by each method of `training.model`, see
`benchmarks.harness.calibrating`. What is measured are methods, not the platform's models, and a world, not real data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click
import numpy as np
from rich.table import Table

from adfeast.settings import ROOT
from benchmarks.harness import calibrating, report
from benchmarks.harness.calibrating import Calibrated
from benchmarks.harness.delayed_feedback import Measured, Sizes, Stream
from training.world.spec import WorldSpec


@click.command()
@click.option("--impressions", default=300_000, show_default=True, help="in each world")
@click.option("--worlds", default=3, show_default=True, help="each with a seed of its own")
@click.option("--days", default=4.0, show_default=True, help="a world lasts; the model is pretrained on half of them")
@click.option("--window-h", default=12.0, show_default=True, help="label window")
@click.option("--wait-m", default=30.0, show_default=True, help="wait of the methods that wait a little")
@click.option("--slowest-h", default=4.0, show_default=True, help="scale of the slowest category's delay")
@click.option("--click-rate", default=0.05, show_default=True)
@click.option("--drift", default=0.6, show_default=True, help="deviation of a category's step in log-odds, a day")
@click.option("--negatives", default=1.0, show_default=True, help="share of the negatives that is learnt from")
def main(
    impressions: int,
    worlds: int,
    days: float,
    window_h: float,
    wait_m: float,
    slowest_h: float,
    click_rate: float,
    drift: float,
    negatives: float,
) -> None:
    """Measures methods of learning from delayed clicks on worlds with a known truth."""
    show, found, calibrated = report.console(), [], []
    for seed in range(worlds):
        spec = WorldSpec(
            seed=seed,
            impressions=impressions,
            days=days,
            click_rate=click_rate,
            drift=drift,
            ads=1_000,
            delay_s=(60.0, slowest_h * 3600),
        )
        sizes = Sizes(spec, days / 2, window_h * 3600, wait_m * 60, negatives)
        stream = Stream(sizes)
        found.append(stream.measure())
        calibrated.append(calibrating.measure(stream))
    show.print(delay_table(found))
    show.print(calibration_table(calibrated))
    file = ROOT / ".local" / "bench" / f"learning-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = {
        "machine": report.machine(),
        "sizes": asdict(sizes),
        "delay": [[asdict(m) for m in world] for world in found],
        "calibration": [[asdict(m) for m in world] for world in calibrated],
    }
    file.write_text(json.dumps(kept, indent=1))
    show.print(f"kept in {file.relative_to(ROOT)}")


def delay_table(worlds: Sequence[Sequence[Measured]]) -> Table:
    """One line a method, over all worlds."""
    table = Table(title=f"delayed clicks, {len(worlds)} world(s)", caption="RI: 1 as final labels at once, 0 as none")
    table.add_column("method")
    for name in ("log loss", "AUC", "RI log loss", "RI AUC"):
        table.add_column(name, justify="right")
    for lines in zip(*worlds, strict=True):
        loss, auc = (float(np.mean([getattr(m, of) for m in lines])) for of in ("log_loss", "auc"))
        indices = [_spread([getattr(m, of) for m in lines]) for of in ("ri_log_loss", "ri_auc")]
        table.add_row(lines[0].name, f"{loss:.5f}", f"{auc:.4f}", *indices)
    return table


def calibration_table(worlds: Sequence[Sequence[Calibrated]]) -> Table:
    """One line a method, over all worlds."""
    table = Table(title="calibration of the pretrained model", caption="against the true rates, on the latest hours")
    table.add_column("method")
    for name in ("log loss", "above oracle", "error by category", "predicted by true"):
        table.add_column(name, justify="right")
    for lines in zip(*worlds, strict=True):
        loss, regret, error, ratio = (
            float(np.mean([getattr(m, of) for m in lines])) for of in ("log_loss", "regret", "error", "ratio")
        )
        table.add_row(lines[0].name, f"{loss:.5f}", f"{regret:.5f}", f"{error:.5f}", f"{ratio:.3f}")
    return table


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.2f}"


if __name__ == "__main__":
    main()
