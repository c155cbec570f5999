"""`adfeast model ...`: train, register, deploy and unload the click model."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import click

from adfeast.clock import SystemClock, to_datetime
from adfeast.contract.model_names import DEFAULT_FLAVOUR
from adfeast.settings import load_settings, settings_file
from cli import LOG_FORMAT
from cli.answer import Answer, answers
from cli.stopping import stopped_by_signal


@click.group()
def model() -> None:
    """Train, register, deploy and unload the click model."""


@model.command()
@click.option("--prior", type=float, required=True, help="Click rate it answers for every candidate.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the artifact.")
@answers
def bootstrap(prior: float, out: Path) -> Answer:
    """Make a first model before any snapshot exists."""
    from training.model import bootstrap as first

    made = first.run(load_settings(), prior, out)
    return Answer({"artifact": str(made.path), "signature_hash": made.signature.hash}, [str(made.path)])


@model.command()
@click.option("--training-set", required=True, help="Folder of a training set, or its s3:// URL.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the artifact.")
@click.option(
    "--model",
    "kind",
    type=click.Choice(["lr", "dlrm", "dcnv2"]),
    default="dlrm",
    show_default=True,
    help="Which one to export; a logistic regression is trained and measured beside it.",
)
@click.option("--service", help="Feature service whose inputs the model takes. [default: the one that is served]")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML or JSON with any of the keys of training.model.config.TrainConfig, such as batch_size or max_epochs.",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--feature", "features", multiple=True, help="Take only this input of the service (may be repeated).")
@click.option("--drop", multiple=True, help="Leave this input out (may be repeated).")
@click.option("--hash-size", "hash_sizes", multiple=True, metavar="NAME=N", help="Buckets of an id or list.")
@click.option(
    "--not-logged",
    type=click.Choice(["leave_out", "missing"]),
    default="leave_out",
    show_default=True,
    help="What becomes of rows in which an input was not logged yet.",
)
@click.option(
    "--incumbent/--no-incumbent",
    "compared",
    default=True,
    help="Compare with the model that serves; deploy refuses one that is not shown to be as good.",
)
@answers
def train(
    training_set: str,
    out: Path,
    kind: str,
    service: str | None,
    config_file: Path | None,
    seed: int,
    features: tuple[str, ...],
    drop: tuple[str, ...],
    hash_sizes: tuple[str, ...],
    not_logged: Literal["leave_out", "missing"],
    compared: bool,
) -> Answer:
    """Train a model on a training set, on any of what was logged, beside it logistic regression, and export it."""
    from registry.incumbent import fetch
    from training.model import train as training
    from training.model.config import read_config
    from training.model.incumbent import Incumbent

    settings, config = load_settings(), read_config(config_file) if config_file else None
    with TemporaryDirectory() as folder:
        serving = fetch(settings, Path(folder)) if compared else None
        made = training.run(
            settings,
            training_set,
            out,
            model=kind,
            config=config,
            service=service,
            seed=seed,
            features=features or None,
            drop=drop,
            hash_sizes=dict(map(_hash_size, hash_sizes)),
            not_logged=not_logged,
            incumbent=Incumbent(serving, Path(folder)) if serving else None,
        )
    lines = []
    for name, metrics in made.metrics["models"].items():
        values = (f"{metric} {_figure(m)}" for metric, m in metrics.items())
        lines.append(f"{name}{' (exported)' if name == kind else ''}: {', '.join(values)}")
    if verdict := made.metrics["verdict"]:
        lines.append(f"{kind} is {verdict['reason']}")
    data = {"artifact": str(made.path), "signature_hash": made.signature.hash, "metrics": made.metrics}
    return Answer(data, [*lines, str(made.path)])


def _hash_size(text: str) -> tuple[str, int]:
    name, found, number = text.partition("=")
    if not name or not found or not number.isdecimal():
        raise click.BadParameter(f"{text!r} is not NAME=N, such as ad_key=4096", param_hint="--hash-size")
    return name, int(number)


def _figure(metric: dict[str, float | None]) -> str:
    value, low, high = (metric[k] for k in ("value", "low", "high"))
    return "undefined" if value is None else f"{value:.4g} [{low:.4g}, {high:.4g}]"


@model.command()
@click.option("--artifact", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@answers
def register(artifact: Path) -> Answer:
    """Register an artifact in MLflow as the next version; one that is registered already keeps its version."""
    from registry import versions as models

    number = models.register(load_settings(), artifact)
    return Answer({"version": number}, [str(number)])


@model.command()
@click.option("--version", type=int, required=True)
@click.option("--flavour", default=DEFAULT_FLAVOUR, show_default=True, help="onnx, torchrec_fp32 or torchrec_int8.")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait for another deploy to end.")
@click.option(
    "--force",
    default="",
    metavar="REASON",
    help="Deploy it although it is not shown to be as good; the journal says why.",
)
@answers
def deploy(version: int, flavour: str, wait_s: float, force: str) -> Answer:
    """Load a version into Triton and make it production, unless it was compared with what serves and did not pass."""
    from registry import deploy as deploying

    name = deploying.deploy(load_settings(), version, flavour, wait_s=wait_s, force=force)
    return Answer({"name": name, "version": version, "flavour": flavour}, [name])


@model.command()
@click.option("--name", "names", multiple=True, help="Name in Triton (may be repeated).")
@click.option("--version", type=int, help="All flavours of this version.")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait for a deploy to end.")
@answers
def unload(names: tuple[str, ...], version: int | None, wait_s: float) -> Answer:
    """Take models out of Triton that no server answers with; MLflow keeps their versions."""
    from registry import unload as unloading

    if bool(names) == (version is not None):
        raise click.UsageError("say either --name or --version")
    settings = load_settings()
    if version is None:
        gone = unloading.unload(settings, names, wait_s=wait_s)
    else:
        gone = unloading.unload_version(settings, version, wait_s=wait_s)
    return Answer({"unloaded": gone}, gone)


@model.command("list")
@answers
def list_versions() -> Answer:
    """List the registered versions, and what is production."""
    from registry import versions as models

    settings = load_settings()
    known, serving = models.versions(settings), models.production(settings)
    lines = []
    for v in known:
        kind, service = v.tags.get("model", "?"), v.tags.get("feature_service", "?")
        verdict = v.tags.get("verdict", "not compared")
        lines.append(f"{v.version}\t{kind}\t{service}\t{v.signature_hash[:12]}\t{verdict}\t{' '.join(v.aliases)}")
    return Answer({"versions": [asdict(v) for v in known], "production": serving}, lines)


@model.command()
@answers
def history() -> Answer:
    """List who put which model into production, and when; newest last."""
    from registry import journal

    told = list(journal.promotions(load_settings()))
    lines = []
    for p in told:
        forced = [f"forced: {p.forced}"] if p.forced else []
        moved = f"{p.before or '-'} -> {p.name}"
        lines.append("\t".join([to_datetime(p.at_ms).isoformat(), p.who, moved, p.signature_hash[:12], *forced]))
    return Answer({"promotions": [asdict(p) for p in told]}, lines)


@model.command()
@click.option("--restart-local", is_flag=True, help="Start this machine's Triton again when loading does not help.")
def keep(restart_local: bool) -> None:
    """Loads again each model that Triton calls ready and that is dead, until it is stopped."""
    from registry.keeper import Keeper

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    restart = None
    if restart_local:
        from infra.local.platform.platform import Platform

        platform = Platform(settings_file().parent)
        restart = partial(platform.kill, "triton")  # its supervisor starts it again
    Keeper(load_settings(), SystemClock(), restart).run(stopped_by_signal())
