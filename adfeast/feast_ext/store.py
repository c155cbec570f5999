"""Opens the feature store of a deployment, and applies the definitions to it, from a running process."""

from __future__ import annotations

import logging
import os
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path

import yaml
from feast import FeatureStore, RepoConfig
from feast.repo_operations import apply_total
from sqlalchemy.engine import make_url

from adfeast.errors import SettingsError
from adfeast.feast_ext.repo import imported_afresh
from adfeast.feast_ext.sources import declaring
from adfeast.feast_ext.two_tier import dynamodb_config, redis_config
from adfeast.settings import Settings

log = logging.getLogger(__name__)


def open_store(settings: Settings) -> FeatureStore:
    """The store that `feature_store.yaml` describes, with this deployment's registry and addresses.

    Raises:
        SettingsError: there is no feature_store.yaml in `settings.feature_repo`.
    """
    return FeatureStore(config=_repo_config(settings))


def apply(settings: Settings) -> FeatureStore:
    """Does what `feast apply` does in `settings.feature_repo`, in this process.

    Raises:
        DefinitionError: a definition is not usable; the registry is unchanged.
        ApplyRefused: it would break what runs (adfeast.feast_ext.guard); the registry is unchanged.
    """
    make_state_folders(settings)
    config = _repo_config(settings)
    output = StringIO()
    # apply_total changes the working directory.
    with declaring(settings), imported_afresh(settings.feature_repo), chdir(os.getcwd()), redirect_stdout(output):
        apply_total(config, settings.feature_repo, skip_source_validation=True)
    log.info("applied %s: %s", settings.feature_repo, " ".join(output.getvalue().split()))
    store = open_store(settings)
    store.refresh_registry()
    return store


def make_state_folders(settings: Settings) -> None:
    """Makes the folders of the SQLite databases that settings name; SQLite does not."""
    for url in (settings.registry_url, settings.ledger_url):
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)


def _repo_config(settings: Settings) -> RepoConfig:
    file = settings.feature_repo / "feature_store.yaml"
    try:
        raw = yaml.safe_load(file.read_text())
    except OSError as error:
        raise SettingsError(
            f"feature_repo={settings.feature_repo} has no readable feature_store.yaml: {error}"
        ) from error
    raw["project"] = settings.project
    raw["registry"]["path"] = settings.registry_url
    raw["online_store"] |= {
        "redis": redis_config(settings).model_dump(),
        "dynamodb": dynamodb_config(settings).model_dump(),
    }
    raw["offline_store"]["settings"] = settings
    return RepoConfig(repo_path=settings.feature_repo, **raw)
