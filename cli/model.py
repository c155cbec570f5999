"""`adfeast model ...`: train, register and deploy the click model."""

from __future__ import annotations

from pathlib import Path

import click

from adfeast.clock import to_datetime
from adfeast.settings import load_settings


@click.group()
def model() -> None:
    """Train, register and deploy the click model."""


@model.command()
@click.option("--prior", type=float, required=True, help="Click rate it answers for every candidate.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the artifact.")
def bootstrap(prior: float, out: Path) -> None:
    """Make a first model before any snapshot exists."""
    from training.model import bootstrap as first

    click.echo(first.run(load_settings(), prior, out).path)


@model.command()
@click.option("--training-set", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the artifact.")
@click.option("--model", "kind", default="dlrm", show_default=True, help="Which one to export: lr or dlrm.")
@click.option("--seed", default=0, show_default=True)
def train(training_set: Path, out: Path, kind: str, seed: int) -> None:
    """Train logistic regression and a DLRM on a training set and export one."""
    from training.model import train as training

    artifact = training.run(load_settings(), training_set, out, model=kind, seed=seed)
    for name, metrics in artifact.metrics["models"].items():
        values = (f"{metric} {_figure(m)}" for metric, m in metrics.items())
        click.echo(f"{name}{' (exported)' if name == kind else ''}: {', '.join(values)}")
    click.echo(artifact.path)


def _figure(metric: dict[str, float | None]) -> str:
    value, low, high = (metric[k] for k in ("value", "low", "high"))
    return "undefined" if value is None else f"{value:.4g} [{low:.4g}, {high:.4g}]"


@model.command()
@click.option("--artifact", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
def register(artifact: Path) -> None:
    """Register an artifact in MLflow as the next version."""
    from registry import versions as models

    click.echo(models.register(load_settings(), artifact))


@model.command()
@click.option("--version", type=int, required=True)
@click.option("--flavour", default="onnx", show_default=True, help="onnx, torchrec_fp32 or torchrec_int8.")
def deploy(version: int, flavour: str) -> None:
    """Load a version into Triton and make it production."""
    from registry import deploy as deploying

    click.echo(deploying.deploy(load_settings(), version, flavour))


@model.command("list")
def list_versions() -> None:
    """List the registered versions."""
    from registry import versions as models

    for v in models.versions(load_settings()):
        kind, service = v.tags.get("model", "?"), v.tags.get("feature_service", "?")
        click.echo(f"{v.version}\t{kind}\t{service}\t{v.signature_hash[:12]}\t{' '.join(v.aliases)}")


@model.command()
def history() -> None:
    """List who put which version into production, and when."""
    from registry import journal as journal

    for p in journal.promotions(load_settings()):
        at, change = to_datetime(p.at_ms).isoformat(), f"{p.before} -> {p.version}"
        click.echo("\t".join([at, p.who, change, p.flavour, p.signature_hash[:12]]))
