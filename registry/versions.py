"""Versions of the click model in MLflow: a run with metrics and files, a registered version, and what is production.

Nothing is pickled: a version is the folder that training wrote (model_repository/, signature.json, metrics.json, ...).
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adfeast.clock import Clock, SystemClock, to_datetime
from adfeast.contract import base_rates
from adfeast.contract.model_names import (
    PRODUCTION_ALIAS,
    PRODUCTION_TAG,
    REGISTERED_MODEL,
    SIGNATURE_PARAMETER,
    parse_triton_model,
)
from adfeast.contract.signature import Signature
from adfeast.ledger import Ledger
from adfeast.settings import ROOT, Settings
from registry import verdict
from registry.errors import ArtifactError, UnknownVersion
from registry.tracking import client, experiment

log = logging.getLogger(__name__)
REPOSITORY = "model_repository"
FILES = ("signature.json", "metrics.json", "evaluation.json", "export.json", "probe.npz", base_rates.FILE)
EXPERIMENT = REGISTERED_MODEL
ARTIFACT_TAG = "artifact_digest"
JOB = "registration"  # in the ledger


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        aliases: names that point at it, for people; `production` is served.
        tags: `signature_hash`, `feature_service`, `model` (its kind) among them; and those of `registry.verdict`.
    """

    version: int
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    created_ms: int

    @property
    def signature_hash(self) -> str:
        return self.tags.get(SIGNATURE_PARAMETER, "")


def register(settings: Settings, artifact: Path, clock: Clock | None = None) -> int:
    """Logs an artifact as a run and registers it as the next version of the click model.

    An artifact that is registered already, whatever its folder, keeps its version.

    Raises:
        ArtifactError: a file is missing or not readable.
        RunInProgress: somebody else registers the same artifact.
    """
    _readable(artifact)
    digest, when = artifact_digest(artifact), to_datetime(0)
    ledger = Ledger(settings, clock or SystemClock())
    # `again`: not the ledger but MLflow knows whether it was done; a killed one may have been, and MLflow may be new.
    with ledger.claim(JOB, REGISTERED_MODEL, digest, when, when, again=True) as claim:
        assert claim is not None
        known = client(settings).search_model_versions(f"name='{REGISTERED_MODEL}' and tags.{ARTIFACT_TAG}='{digest}'")
        number = int(known[0].version) if known else _log(settings, artifact, digest, claim.check)
        claim.facts |= {"version": number, "artifact": artifact.name}
    return number


def artifact_digest(artifact: Path) -> str:
    """SHA-256 of the names and contents of an artifact's files, 64 hex digits."""
    digest = hashlib.sha256()
    for file in sorted(p for p in artifact.rglob("*") if p.is_file()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{content} {file.relative_to(artifact)}\n".encode())
    return digest.hexdigest()


def _readable(artifact: Path) -> tuple[Signature, dict[str, Any], dict[str, Any]]:
    """Signature, metrics and evaluation of an artifact."""
    if missing := [name for name in (REPOSITORY, *FILES) if not (artifact / name).exists()]:
        raise ArtifactError(f"{artifact} lacks {', '.join(missing)}: train it with `adfeast model train`")
    try:
        signature = Signature.from_json((artifact / "signature.json").read_text())
        metrics, details = (json.loads((artifact / n).read_text()) for n in ("metrics.json", "evaluation.json"))
        metrics["model"], metrics["models"], metrics["parts"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"signature.json, metrics.json or evaluation.json in {artifact} is not readable: {error}"
        ) from error
    return signature, metrics, details


def _log(settings: Settings, artifact: Path, digest: str, check: Callable[[], None]) -> int:
    signature, metrics, details = _readable(artifact)
    kind = metrics["model"]
    tags = {SIGNATURE_PARAMETER: signature.hash, "feature_service": signature.service, "model": kind}
    tags |= {ARTIFACT_TAG: digest} | verdict.tags(metrics.get("verdict"))
    mlflow = client(settings)
    _ensure_registered(mlflow)
    run = mlflow.create_run(experiment(mlflow, EXPERIMENT), run_name=f"{kind}-{artifact.name}")
    run_id: str = run.info.run_id
    try:
        provenance = {"training_set": details.get("training_set"), "git_commit": _commit()}
        for key, value in (tags | {k: v for k, v in provenance.items() if v}).items():
            mlflow.set_tag(run_id, key, value)
        for key, value in _flat(
            "", details.get("config", {}) | {k: details[k] for k in ("seed", "prior") if k in details}
        ):
            mlflow.log_param(run_id, key, value)
        measured = metrics["models"] | {k: metrics.get(k) or {} for k in ("parts", "verdict")}
        for name, value in _flat("", measured):
            if isinstance(value, int | float) and not isinstance(value, bool):
                mlflow.log_metric(run_id, name.removesuffix(".value"), value)
        mlflow.log_artifacts(run_id, str(artifact))
    except Exception:
        mlflow.set_terminated(run_id, "FAILED")
        raise
    mlflow.set_terminated(run_id)
    check()
    made = mlflow.create_model_version(
        REGISTERED_MODEL, source=f"runs:/{run_id}/{REPOSITORY}", run_id=run_id, tags=tags, await_creation_for=None
    )
    log.info("registered version %s of %s from %s", made.version, REGISTERED_MODEL, artifact)
    return int(made.version)


def versions(settings: Settings) -> list[Version]:
    """All versions, oldest first; none when nothing was registered yet."""
    mlflow = client(settings)
    registered = _registered(mlflow)
    aliases = dict(registered.aliases) if registered else {}
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


def production(settings: Settings) -> str | None:
    """Triton name of what is production: what prediction servers follow."""
    found = _registered(client(settings))
    return found.tags.get(PRODUCTION_TAG) if found else None


def set_production(settings: Settings, name: str, check: Callable[[], None]) -> None:
    """Makes a Triton model production; prediction servers follow within seconds. `check` is asked before each step."""
    mlflow, (number, _) = client(settings), parse_triton_model(name)
    check()
    mlflow.set_registered_model_alias(REGISTERED_MODEL, PRODUCTION_ALIAS, str(number))
    check()
    mlflow.set_registered_model_tag(REGISTERED_MODEL, PRODUCTION_TAG, name)


def download(settings: Settings, found: Version, name: str, folder: Path) -> Path:
    """Copies a file or folder of a version's artifact under `folder`; returns where it lies."""
    return Path(client(settings).download_artifacts(found.run_id, name, str(folder)))


def _registered(mlflow: Any) -> Any:
    from mlflow.exceptions import RestException

    try:
        return mlflow.get_registered_model(REGISTERED_MODEL)
    except RestException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
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
