"""Puts a registered version into production without a restart and without touching what serves.

The order is what makes it safe: hold the deploy lease; download; say what Triton is about to load, then see that all
its inputs are made today; rename the finished folder into Triton's repository; load it under a name of its own; prove
it with a real inference whose answer is known; write the promotion down; only then move production, which prediction
servers follow; unload what no server can still answer with. The lease is checked before each step that others see.
Whatever fails before production moves leaves it where it was, and what a killed deploy has left is cleared up by the
next one. Repeating a deploy changes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adfeast import fleet
from adfeast.clock import Clock, SystemClock, to_datetime
from adfeast.contract.model_names import DEFAULT_FLAVOUR, REGISTERED_MODEL, triton_model
from adfeast.contract.signature import Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.ledger import Claim, Ledger
from adfeast.settings import Settings
from registry import journal
from registry import versions as models
from registry.errors import DeployFailed, InputsNotMade
from registry.repository import Repository
from registry.triton import PROBE_TOLERANCE, PROBE_TOLERANCE_INT8, Probe, Triton
from registry.unload import LEASE, WAIT_S, in_use, unload_others
from registry.verdict import require_better

log = logging.getLogger(__name__)
JOB = "deployment"  # in the ledger


def deploy(
    settings: Settings,
    version: int,
    flavour: str = DEFAULT_FLAVOUR,
    clock: Clock | None = None,
    wait_s: float = WAIT_S,
    force: str = "",
) -> str:
    """Loads a version into Triton and makes it production; what served before stays loaded.

    Args:
        force: why a version that is not shown to be as good as what serves is deployed all the same; the journal keeps
            it.
        wait_s: how long to wait for another deploy to end.

    Returns:
        Its Triton name.

    Raises:
        UnknownVersion: it is not registered.
        NotBetter: it was compared with what served, is not shown to be as good, and is not forced.
        InputsNotMade: it takes features that are not made today.
        DeployFailed: Triton refused it, or it answered otherwise than the model it was exported from.
        RunInProgress: another deploy is at work.
        LeaseLost: another deploy has taken over meanwhile.
    """
    clock = clock or SystemClock()
    ledger, when, what = Ledger(settings, clock), to_datetime(0), f"{version}-{flavour}"
    with ledger.lease(LEASE, wait_s) as held, ledger.claim(JOB, REGISTERED_MODEL, what, when, when, again=True) as run:
        assert run is not None
        deployment = _Deployment(settings, clock, held, Repository(settings.triton_repository), force)
        try:
            run.facts |= deployment.run(models.version(settings, version), flavour)
        except (DeployFailed, OSError):
            held.check()  # whoever has taken over sweeps away what this one was downloading
            raise
    return triton_model(version, flavour)


class _Deployment:
    """One deploy, by the holder of the lease."""

    def __init__(self, settings: Settings, clock: Clock, held: Claim, repository: Repository, force: str) -> None:
        self._settings, self._clock, self._held, self._repository = settings, clock, held, repository
        self._force = force
        self._triton = Triton(settings)

    def run(self, version: models.Version, flavour: str) -> dict[str, str]:
        name = triton_model(version.version, flavour)
        journal.settle(self._settings, self._clock.now_ms())
        require_better(version, models.production(self._settings) or "", self._force)
        with self._repository.staging() as staging:
            new = self._fetch(version, flavour, staging)
            self._announce_and_serve(version, flavour, name, new)
        before = self._promote(version, flavour, name)
        try:
            keep = {name, before}
            unload_others(self._settings, self._triton, self._repository, keep, self._clock.now_ms(), self._held)
        except DeployFailed as error:  # production has moved: this is not the deploy's failure any more
            log.warning("%s; the next deploy unloads what is too much", error)
        return {"name": name, "before": before}

    def _fetch(self, version: models.Version, flavour: str, staging: Path) -> _New:
        folder = _download(self._settings, version, f"{models.REPOSITORY}/{flavour}", staging)
        signature = _signature(folder / "1" / "signature.json", version)
        rows = dict(np.load(_download(self._settings, version, "probe.npz", staging), allow_pickle=False))
        tolerance = PROBE_TOLERANCE_INT8 if flavour.endswith("int8") else PROBE_TOLERANCE
        return _New(folder, Probe(signature, rows, tolerance))

    def _announce_and_serve(self, version: models.Version, flavour: str, name: str, new: _New) -> None:
        """In this order: whoever changes the definitions after they were looked at finds the model in the fleet."""
        known = {m.name for m in fleet.loaded_models(self._settings)}
        signature, now = new.probe.signature, self._clock.now_ms()
        self._held.check()
        fleet.set_loaded(self._settings, fleet.LoadedModel(name, version.version, flavour, signature, now))
        try:
            if missing := load_definitions(self._settings).missing(signature):
                raise InputsNotMade(f"version {version.version} of {REGISTERED_MODEL!r}", missing)
            self._serve(name, new)
        except (DeployFailed, InputsNotMade):
            if name not in known:
                fleet.forget_loaded(self._settings, name)
            raise

    def _serve(self, name: str, new: _New) -> None:
        """Gets a working model of this name loaded; when it does not work, what was there before is there again."""
        triton, repository = self._triton, self._repository
        there, was_ready = repository.holds(new.folder, name), triton.ready(name)
        if there and was_ready and triton.works(name, new.probe):
            return
        self._held.check()
        if not there:
            repository.put(new.folder, name)
        elif was_ready:
            triton.unload(name)  # loading an unchanged model that is dead changes nothing
        try:
            triton.load(name)
            triton.prove(name, new.probe)
        except DeployFailed:
            self._held.check()
            triton.unload(name)
            if not there:
                if repository.take_back(name) and was_ready:
                    triton.load(name)
            elif name not in in_use(self._settings, self._clock.now_ms()):
                repository.remove(name)
            raise

    def _promote(self, version: models.Version, flavour: str, name: str) -> str:
        """Moves production; returns the Triton name of what served before, empty for the first."""
        serving = models.production(self._settings) or ""
        if serving == name:
            # The alias too: a deploy may have been killed between the two.
            models.set_production(self._settings, name, self._held.check)
            last = next(journal.newest_first(self._settings), None)
            return last.before if last else ""
        who, now = journal.user(), self._clock.now_ms()
        told = journal.Promotion(now, who, version.version, flavour, name, serving, version.signature_hash, self._force)
        self._held.check()
        entry = journal.begin(self._settings, told)
        models.set_production(self._settings, name, self._held.check)
        journal.end(self._settings, entry, self._clock.now_ms())
        log.info("%s serves, before it %s", name, serving or "nothing")
        return serving


@dataclass(frozen=True)
class _New:
    """A downloaded model folder and what proves it."""

    folder: Path
    probe: Probe


def _signature(file: Path, version: models.Version) -> Signature:
    try:
        signature = Signature.from_json(file.read_text())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeployFailed(
            f"the signature of version {version.version} is not readable ({error}): train and register it again"
        ) from error
    if signature.hash != version.signature_hash:
        raise DeployFailed(
            f"version {version.version} was registered with signature {version.signature_hash}, its files have "
            f"{signature.hash}: register the artifact again"
        )
    return signature


def _download(settings: Settings, found: models.Version, name: str, staging: Path) -> Path:
    from mlflow.exceptions import MlflowException

    try:
        path = models.download(settings, found, name, staging)
    except (MlflowException, OSError) as error:
        raise DeployFailed(f"version {found.version} has no {name} in MLflow: {error}") from error
    if path.is_dir() and not (path / "config.pbtxt").exists():  # MLflow gives an empty folder for one it has not
        raise DeployFailed(f"version {found.version} has no {name} in MLflow")
    return path
