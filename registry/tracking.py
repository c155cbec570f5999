"""The connection to MLflow, which holds versions, what is production, and the journal of promotions."""

from __future__ import annotations

import os
import urllib.request
from typing import TYPE_CHECKING, Any

from adfeast.settings import Settings
from registry.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

HEALTH_S = 10.0
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Seven retries take minutes: a deploy that has lost its lease meanwhile would still publish.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def client(settings: Settings) -> MlflowClient:
    """A client of `settings.mlflow_url`, which neither prints nor phones home.

    Raises:
        RegistryError: MLflow does not answer.
    """
    try:
        with urllib.request.urlopen(f"{settings.mlflow_url}/health", timeout=HEALTH_S):  # noqa: S310  an address of ours
            pass
    except OSError as error:
        raise RegistryError(
            f"MLflow at {settings.mlflow_url} does not answer ({error}): start it, see `adfeast status`"
        ) from error
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=settings.mlflow_url, registry_uri=settings.mlflow_url)


def experiment(mlflow: Any, name: str) -> str:
    """Id of an experiment, which is made if it is missing; two processes may ask at the same time."""
    from mlflow.exceptions import RestException

    if found := mlflow.get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return str(mlflow.create_experiment(name))
    except RestException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return str(mlflow.get_experiment_by_name(name).experiment_id)
