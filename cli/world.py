"""`adfeast world`: a generated ad market whose click rates are known."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import click

from adfeast.clock import to_ms
from adfeast.feast_ext.repo import declared
from adfeast.settings import load_settings
from cli.answer import Answer, answers
from cli.times import Moment, Span


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option("--impressions", default=200_000, show_default=True)
@click.option("--users", default=50_000, show_default=True)
@click.option("--ads", default=2_000, show_default=True)
@click.option("--days", default=7.0, show_default=True)
@click.option("--start", type=Moment(), default="2026-01-05", show_default=True, help="Time of the first impression.")
@click.option("--click-rate", default=0.02, show_default=True, help="Mean true click rate.")
@click.option("--drift", default=0.2, show_default=True, help="Deviation of a category's step in log-odds, a day.")
@click.option("--label-window", type=Span(), default="30m", show_default=True, help="A click counts this long.")
@click.option(
    "--negatives",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the rows without a click in the training set; each weighs as many as it stands for.",
)
@click.option("--service", help="Feature service of the training set; default: the one that is served.")
@click.option("--seed", default=0, show_default=True)
@answers
def world(
    out: Path,
    impressions: int,
    users: int,
    ads: int,
    days: float,
    start: datetime,
    click_rate: float,
    drift: float,
    label_window: timedelta,
    negatives: float,
    service: str | None,
    seed: int,
) -> Answer:
    """Make a world: events, tables, a training set and the true click rates, and the lowest log loss there can be."""
    from training.world.spec import WorldSpec
    from training.world.traffic import make
    from training.world.write import write

    spec = WorldSpec(
        seed=seed,
        impressions=impressions,
        users=users,
        ads=ads,
        start_ms=to_ms(start),
        days=days,
        click_rate=click_rate,
        drift=drift,
    )
    settings = load_settings()
    taken = service or settings.feature_service
    made = write(make(spec), declared(settings), taken, out, label_window.total_seconds(), negatives)
    lines = [
        f"{made.impressions} impressions, {made.clicks} clicks, {made.labelled} of them within the label window",
        f"log loss of the true rates {made.oracle:.6f}, of their mean {made.prior:.6f}: no model has a normalized "
        f"entropy below {made.normalized_entropy:.4f}",
        made.path,
    ]
    return Answer(asdict(made), lines)
