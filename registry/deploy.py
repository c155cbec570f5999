"""Puts a registered version into production without a restart and without touching what serves.

The order is what makes it safe: download and check the signature; rename the finished folder into Triton's repository;
load it under a name of its own; prove it with a real inference whose answer is known; only then set the alias that
prediction servers follow, write the journal, and unload what is older than the version before. Whatever fails before
the alias leaves it where it was. Repeating a deploy changes nothing.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.clock import Clock, SystemClock
from adfeast.contract.model_names import OUTPUT, REGISTERED_MODEL, SIGNATURE_PARAMETER, triton_model
from adfeast.contract.signature import TENSORS, Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.settings import Settings
from registry import journal as history
from registry import versions as models
from registry.errors import DeployFailed

log = logging.getLogger(__name__)
DEFAULT_FLAVOUR = "onnx"
LOAD_SECONDS = 180.0  # a TorchScript flavour imports torch in a new process
# The change in log odds, to first order, that an answer to the probe may show: for a rare click its relative change, so
# that another model of equally small probabilities is told apart. Single precision differs between processors a little
# more than between flavours; tables of int8 may change what export lets them.
PROBE_TOLERANCE = 2e-3
PROBE_TOLERANCE_INT8 = 0.05
PROBE_FLOOR = 1e-3  # odds below this count as this, as they do in export


def deploy(settings: Settings, version: int, flavour: str = DEFAULT_FLAVOUR, clock: Clock | None = None) -> str:
    """Loads a version into Triton and makes it production; the version before stays loaded.

    Returns:
        Its Triton name.

    Raises:
        UnknownVersion: it is not registered.
        SignatureMismatch: it was made for other inputs than the current feature service's.
        DeployFailed: Triton refused it, or it answered otherwise than the model it was exported from.
    """
    signature = load_definitions(settings).signature(settings.feature_service)
    found = models.version(settings, version)
    signature.require(found.signature_hash, f"version {version} of {REGISTERED_MODEL!r}")
    before = models.production(settings)
    name = triton_model(version)
    target = settings.triton_repository / name
    # Next to the repository, not in it: a rename within one file system is atomic, and Triton never sees a half copy.
    staging_root = settings.triton_repository.with_name(settings.triton_repository.name + ".incoming")
    staging_root.mkdir(parents=True, exist_ok=True)
    settings.triton_repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=staging_root) as staging:
        new = _download(settings, found, f"{models.REPOSITORY}/{flavour}", Path(staging))
        stored = Signature.from_json((new / "1" / "signature.json").read_text())
        signature.require(stored.hash, f"flavour {flavour!r} of version {version} of {REGISTERED_MODEL!r}")
        triton = _Triton(settings.triton_http)
        rows = dict(np.load(_download(settings, found, "probe.npz", Path(staging)), allow_pickle=False))
        probe = _Probe(signature, rows, PROBE_TOLERANCE_INT8 if flavour.endswith("int8") else PROBE_TOLERANCE)
        if not (_same(new, target) and triton.ready(name) and triton.works(name, probe)):
            _install(triton, name, new, target, Path(staging) / "replaced", probe)
        if before != version:
            models.set_production(settings, version)
            log.info("version %d serves as %s (%s), before it version %s", version, name, flavour, before)
        previous = _journal(settings, found, before, flavour, clock or SystemClock())
        keep = {name} | ({triton_model(previous)} if previous is not None else set())
        triton.unload_others(keep, settings.triton_repository)
    return name


def _journal(settings: Settings, found: models.Version, before: int | None, flavour: str, clock: Clock) -> int | None:
    """Writes the promotion unless it stands there already (a deploy repeated, or one that broke off after the alias).

    Returns:
        The version that served before this one.
    """
    last = next(iter(reversed(list(history.promotions(settings)))), None)
    if last is not None and last.version == found.version:
        return last.before
    previous = before if before != found.version else last.version if last else None
    history.append(
        settings,
        history.Promotion(clock.now_ms(), history.user(), found.version, previous, flavour, found.signature_hash),
    )
    return previous


def _download(settings: Settings, found: models.Version, name: str, staging: Path) -> Path:
    from mlflow.exceptions import MlflowException

    try:
        path = models.download(settings, found, name, staging)
    except (MlflowException, OSError) as error:
        raise DeployFailed(f"version {found.version} has no {name} in MLflow: {error}") from error
    if path.is_dir() and not (path / "config.pbtxt").exists():  # MLflow gives an empty folder for one it has not
        raise DeployFailed(f"version {found.version} has no {name} in MLflow")
    return path


def _same(new: Path, target: Path) -> bool:
    """Whether `target` already holds the files of `new`."""
    files = [p.relative_to(new) for p in new.rglob("*") if p.is_file()]
    return all((target / f).is_file() and (target / f).read_bytes() == (new / f).read_bytes() for f in files)


def _install(triton: _Triton, name: str, new: Path, target: Path, replaced: Path, probe: _Probe) -> None:
    """Moves a folder into place and loads it; puts back what was there when it does not answer as it should."""
    was_ready = triton.ready(name)
    if target.exists():
        target.rename(replaced)
    new.rename(target)
    try:
        triton.load(name)
        triton.prove(name, probe)
    except DeployFailed:
        triton.unload(name)
        shutil.rmtree(target)
        if replaced.exists():
            replaced.rename(target)
            if was_ready:
                triton.load(name)
        raise


def strays(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> str | None:
    """What probabilities [N] answer otherwise than was exported, at the worst row; None when all are as expected."""
    if found.shape != expected.shape:
        return f"answers {len(found)} rows where the probe has {len(expected)}"
    p = expected.astype(np.float64)
    change = np.abs(found - p) / np.maximum(p * (1 - p), PROBE_FLOOR)
    worst = int(np.argmax(change))  # a NaN, if there is one
    if change[worst] <= tolerance:
        return None
    return (
        f"answers {found[worst]:.4g} where {p[worst]:.4g} was exported (row {worst} of the probe); the log odds may "
        f"change by {tolerance}"
    )


@dataclass(frozen=True)
class _Probe:
    """Inputs by tensor name and the probability exported for each row under OUTPUT."""

    signature: Signature
    rows: dict[str, NDArray[Any]]
    tolerance: float


class _Triton:
    """Control and probing of one Triton server; not for the request path."""

    def __init__(self, address: str) -> None:
        from tritonclient.http import InferenceServerClient

        self.client = InferenceServerClient(address, network_timeout=LOAD_SECONDS, connection_timeout=5.0)

    def ready(self, name: str) -> bool:
        return bool(self._call("ask for", name, lambda: self.client.is_model_ready(name)))

    def load(self, name: str) -> None:
        self._call("load", name, lambda: self.client.load_model(name))

    def unload(self, name: str) -> None:
        """Unloads a model, whether it was loaded or not."""
        from tritonclient.utils import InferenceServerException

        try:
            self.client.unload_model(name)
        except (InferenceServerException, OSError) as error:
            log.warning("Triton did not unload %s: %s", name, error)

    def works(self, name: str, probe: _Probe) -> bool:
        """A loaded model may be dead: Triton calls it ready when its process was killed."""
        try:
            self.prove(name, probe)
        except DeployFailed as error:
            log.warning("%s; loading it again", error)
            return False
        return True

    def prove(self, name: str, probe: _Probe) -> None:
        """Raises DeployFailed unless the model gives the probe's rows the probabilities it was exported with."""
        from tritonclient.http import InferInput

        inputs = []
        for role, tensor in TENSORS.items():
            if probe.signature.width(role):
                rows = probe.rows[tensor]
                inputs.append(InferInput(tensor, rows.shape, "FP32" if rows.dtype == np.float32 else "INT64"))
                inputs[-1].set_data_from_numpy(rows)
        parameters = {SIGNATURE_PARAMETER: probe.signature.hash}
        answer = self._call("ask", name, lambda: self.client.infer(name, inputs, parameters=parameters))
        found, expected = answer.as_numpy(OUTPUT).reshape(-1), probe.rows[OUTPUT].reshape(-1)
        if wrong := strays(found, expected, probe.tolerance):
            raise DeployFailed(f"{name} in Triton {wrong}")

    def unload_others(self, keep: set[str], repository: Path) -> None:
        """Unloads and deletes the other versions of the click model; MLflow still has them."""
        for entry in self._call("list", "models", self.client.get_model_repository_index):
            name = entry["name"]
            if name.startswith(f"{REGISTERED_MODEL}-") and name not in keep:
                self.unload(name)
                shutil.rmtree(repository / name, ignore_errors=True)

    def _call(self, verb: str, name: str, call: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return call()
        except (InferenceServerException, OSError) as error:
            raise DeployFailed(f"Triton did not {verb} {name}: {error}") from error
