"""The connection to MLflow, which holds versions, what is production, and the journal of promotions."""

from __future__ import annotations

import os
import ssl
import urllib.request
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

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
        tls = ssl.create_default_context(cafile=settings.tls_ca) if settings.mlflow_url.startswith("https:") else None
        where = f"{settings.mlflow_url}/health"
        with urllib.request.urlopen(where, timeout=HEALTH_S, context=tls):  # noqa: S310  an address of ours
            pass
    except OSError as error:
        raise RegistryError(
            f"MLflow at {settings.mlflow_url} does not answer ({error}): start it, see `adfeast status`"
        ) from error
    for name, value in {**_ENVIRONMENT, **login(settings)}.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=settings.mlflow_url, registry_uri=settings.mlflow_url)


def login(settings: Settings) -> dict[str, str]:
    """The variables by which MLflow's client is told who we are; it knows no other way."""
    wanted = {
        "MLFLOW_TRACKING_USERNAME": settings.mlflow_username,
        "MLFLOW_TRACKING_PASSWORD": settings.mlflow_password,
        "MLFLOW_TRACKING_TOKEN": settings.mlflow_token,
        "MLFLOW_TRACKING_SERVER_CERT_PATH": settings.tls_ca,
    }
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in wanted.items()
        if value
    }


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
