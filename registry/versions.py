"""Versions of the click model in MLflow: a run with metrics and files, a registered version, an alias.

Nothing is pickled: a version is the folder that training wrote (model_repository/, signature.json, metrics.json, ...).
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfeast.contract.model_names import PRODUCTION_ALIAS, REGISTERED_MODEL, SIGNATURE_PARAMETER
from adfeast.contract.signature import Signature
from adfeast.settings import ROOT, Settings
from registry.errors import ArtifactError, UnknownVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)
REPOSITORY = "model_repository"
FILES = ("signature.json", "metrics.json", "evaluation.json", "export.json", "probe.npz")
EXPERIMENT = REGISTERED_MODEL
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        aliases: names that point at it; `production` is served.
        tags: `signature_hash`, `feature_service`, `model` (its kind) among them.
    """

    version: int
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    created_ms: int

    @property
    def signature_hash(self) -> str:
        return self.tags.get(SIGNATURE_PARAMETER, "")


def client(settings: Settings) -> MlflowClient:
    """A client of `settings.mlflow_url`, which neither prints nor phones home."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=settings.mlflow_url, registry_uri=settings.mlflow_url)


def register(settings: Settings, artifact: Path) -> int:
    """Logs an artifact as a run and registers it as the next version of the click model.

    Raises:
        ArtifactError: a file is missing or not readable.
    """
    artifact = Path(artifact)
    if missing := [name for name in (REPOSITORY, *FILES) if not (artifact / name).exists()]:
        raise ArtifactError(f"{artifact} lacks {', '.join(missing)}: train it with `adfeast model train`")
    try:
        signature = Signature.from_json((artifact / "signature.json").read_text())
        metrics, details = (json.loads((artifact / n).read_text()) for n in ("metrics.json", "evaluation.json"))
        kind = metrics["model"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"signature.json, metrics.json or evaluation.json in {artifact} is not readable: {error}"
        ) from error
    tags = {SIGNATURE_PARAMETER: signature.hash, "feature_service": signature.service, "model": kind}
    mlflow = client(settings)
    _ensure_registered(mlflow)
    run = mlflow.create_run(_experiment(mlflow), run_name=f"{kind}-{artifact.name}")
    run_id: str = run.info.run_id
    try:
        provenance = {"training_set": details.get("training_set"), "git_commit": _commit()}
        for key, value in (tags | {k: v for k, v in provenance.items() if v}).items():
            mlflow.set_tag(run_id, key, value)
        for key, value in _flat(
            "", details.get("config", {}) | {k: details[k] for k in ("seed", "prior") if k in details}
        ):
            mlflow.log_param(run_id, key, value)
        for name, value in _flat("", metrics["models"] | {"parts": metrics["parts"]}):
            if isinstance(value, int | float):
                mlflow.log_metric(run_id, name.removesuffix(".value"), value)
        mlflow.log_artifacts(run_id, str(artifact))
    except Exception:
        mlflow.set_terminated(run_id, "FAILED")
        raise
    mlflow.set_terminated(run_id)
    made = mlflow.create_model_version(
        REGISTERED_MODEL, source=f"runs:/{run_id}/{REPOSITORY}", run_id=run_id, tags=tags, await_creation_for=None
    )
    log.info("registered version %s of %s from %s", made.version, REGISTERED_MODEL, artifact)
    return int(made.version)


def versions(settings: Settings) -> list[Version]:
    """All versions, oldest first; none when nothing was registered yet."""
    mlflow = client(settings)
    aliases = _aliases(mlflow)
    found = mlflow.search_model_versions(f"name='{REGISTERED_MODEL}'")
    return sorted((_version(v, aliases) for v in found), key=lambda v: v.version)


def version(settings: Settings, number: int) -> Version:
    """One version.

    Raises:
        UnknownVersion: it is not registered; the message says which are.
    """
    known = versions(settings)
    for found in known:
        if found.version == number:
            return found
    names = ", ".join(str(v.version) for v in known) or "none"
    raise UnknownVersion(f"version {number} of {REGISTERED_MODEL!r} is not registered (there are: {names})")


def production(settings: Settings) -> int | None:
    """The version that the production alias names."""
    number = _aliases(client(settings)).get(PRODUCTION_ALIAS)
    return None if number is None else int(number)


def set_production(settings: Settings, number: int) -> None:
    """Points the production alias at a version; prediction servers follow within seconds."""
    client(settings).set_registered_model_alias(REGISTERED_MODEL, PRODUCTION_ALIAS, str(number))


def download(settings: Settings, found: Version, name: str, folder: Path) -> Path:
    """Copies a file or folder of a version's artifact under `folder`; returns where it lies."""
    return Path(client(settings).download_artifacts(found.run_id, name, str(folder)))


def _aliases(mlflow: Any) -> dict[str, str]:
    from mlflow.exceptions import RestException

    try:
        return dict(mlflow.get_registered_model(REGISTERED_MODEL).aliases)
    except RestException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise


def _version(raw: Any, aliases: dict[str, str]) -> Version:
    number = int(raw.version)
    names = tuple(a for a, v in aliases.items() if int(v) == number)
    return Version(number, raw.run_id, names, dict(raw.tags), int(raw.creation_timestamp))


def _ensure_registered(mlflow: Any) -> None:
    from mlflow.exceptions import RestException

    try:
        mlflow.create_registered_model(REGISTERED_MODEL, description="probability of a click given an impression")
    except RestException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _experiment(mlflow: Any) -> str:
    found = mlflow.get_experiment_by_name(EXPERIMENT)
    return str(found.experiment_id if found else mlflow.create_experiment(EXPERIMENT))


def _flat(prefix: str, values: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else key
        found += _flat(name, value) if isinstance(value, dict) else [(name, value)]
    return found


def _commit() -> str | None:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # an installed copy has no history
    return done.stdout.strip()
