"""The model that a new one must beat: the version that serves."""

from __future__ import annotations

from pathlib import Path

from adfeast.contract.model_names import DEFAULT_FLAVOUR, parse_triton_model
from adfeast.settings import Settings
from registry.versions import REPOSITORY, download, production, version

FILES = ("signature.json", "evaluation.json", f"{REPOSITORY}/{DEFAULT_FLAVOUR}")


def fetch(settings: Settings, folder: Path) -> str | None:
    """Copies what training compares with into `folder`, by the names it has in the artifact.

    Returns:
        The Triton name of what serves; None when nothing does.

    Raises:
        UnknownVersion: what serves is not registered any more.
    """
    serving = production(settings)
    if serving is None:
        return None
    found = version(settings, parse_triton_model(serving)[0])
    for name in FILES:
        path, wanted = download(settings, found, name, folder), folder / name
        if path != wanted:  # MLflow keeps the last part of a name only
            wanted.parent.mkdir(parents=True, exist_ok=True)
            path.rename(wanted)
    return serving
