"""Keeps the loaded models alive: `adfeast model keep`, supervised. Requests never heal anything; they come down a rung.

Triton calls a model ready whose process was killed, and never starts that process again. So each loaded model is asked,
over and over, for what was exported with it; one that does not answer so is loaded again, and where that does not help
Triton itself is started again. One healer at a time, by the lease that deploys hold; each attempt that fails makes the
next one wait longer. The keeper may be killed at any moment.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from adfeast import fleet
from adfeast.clock import Clock
from adfeast.contract.model_names import OUTPUT
from adfeast.errors import AdfeastError
from adfeast.fleet import LoadedModel
from adfeast.ledger import Claim, Ledger
from adfeast.settings import Settings
from adfeast.whole_file import replace_text
from registry import versions as models
from registry.errors import DeployFailed, RegistryError
from registry.triton import PROBE_TOLERANCE, PROBE_TOLERANCE_INT8, Probe, Triton
from registry.unload import LEASE

log = logging.getLogger(__name__)
PERIOD_S = 1.0
PROBE_S = 2.0  # a model that answers later is dead to an auction
LOAD_S = 60.0
FAILURES = 2  # in a row, before anything is done: one may be a model that is just being deployed
RETRY_MS, LONGEST_RETRY_MS = 2_000, 60_000
ASK_AGAIN_MS = 60_000
SETTLE_MS = 20_000  # that a restarted Triton has to load its models before it is judged again
Restart = Callable[[], object]
KnownAnswer = Callable[[LoadedModel], Probe]


@dataclass
class _Patient:
    """What is known of a model that did not answer."""

    failures: int = 0
    attempts: int = 0
    not_before_ms: int = 0


class Keeper:
    """One process.

    Args:
        restart: starts Triton's process again; None where somebody else does (a liveness probe of Kubernetes, say).
        known_answer: what a model must answer, by default what was registered with its version.
        prober, loader: Triton, with the patience of a probe and of a load.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        restart: Restart | None = None,
        known_answer: KnownAnswer | None = None,
        prober: Triton | None = None,
        loader: Triton | None = None,
    ) -> None:
        self._settings, self._clock, self._restart = settings, clock, restart
        self._known_answer = known_answer or KnownAnswers(settings, clock)
        self._prober = prober or Triton(settings, PROBE_S)
        self._loader = loader or Triton(settings, LOAD_S)
        self._patients: dict[str, _Patient] = {}
        self._problem = ""

    def run(self, stop: threading.Event, period_s: float = PERIOD_S) -> None:
        """Looks until `stop` is set; after each look the file `last_look` holds its problems, or nothing."""
        while True:
            self._report("; ".join(self.look()))
            if stop.wait(period_s):
                return

    def look(self) -> list[str]:
        """Asks every loaded model once and heals those that are dead; returns what is still wrong."""
        try:
            loaded = fleet.loaded_models(self._settings)
        except SQLAlchemyError as error:
            return [f"which models are loaded is not known: {error}"]
        self._patients = {m.name: p for m in loaded if (p := self._patients.get(m.name))}
        problems = []
        for model in loaded:
            try:
                self._look_at(model)
            except (AdfeastError, SQLAlchemyError, OSError) as error:
                problems.append(f"{model.name}: {error}")
        return problems

    def _look_at(self, model: LoadedModel) -> None:
        probe = self._known_answer(model)
        try:
            self._prober.prove(model.name, probe)
        except DeployFailed as error:
            patient = self._patients.setdefault(model.name, _Patient())
            patient.failures += 1
            if patient.failures >= FAILURES and self._clock.now_ms() >= patient.not_before_ms:
                self._heal(model, probe, patient)
                return
            raise DeployFailed(f"does not answer as it was exported: {error}") from error
        if self._patients.pop(model.name, None):
            log.info("%s answers again", model.name)

    def _heal(self, model: LoadedModel, probe: Probe, patient: _Patient) -> None:
        """Loads a dead model again, or starts Triton again when that has not helped.

        Raises:
            DeployFailed: it is still dead. RunInProgress: a deploy is at work, which may be what ails it.
        """
        with Ledger(self._settings, self._clock).lease(LEASE) as held:
            if model.name not in {m.name for m in fleet.loaded_models(self._settings)}:
                return  # unloaded meanwhile
            patient.attempts += 1
            pause = min(RETRY_MS * 2 ** (patient.attempts - 1), LONGEST_RETRY_MS)
            patient.not_before_ms = self._clock.now_ms() + pause
            try:
                self._load_again(model.name, probe, held)
            except DeployFailed as error:
                cause = error.__cause__
                if cause is None or isinstance(cause, ConnectionRefusedError):
                    raise  # it answers, but wrongly: deploy it again; or Triton is being started by its supervisor
                if self._restart is None:
                    raise DeployFailed(f"loading it again has not helped: {error}; start Triton again") from error
                log.error("loading %s again has not helped (%s): starting Triton again", model.name, error)
                held.check()
                self._restart()
                patient.not_before_ms = self._clock.now_ms() + max(pause, SETTLE_MS)
                raise DeployFailed(f"Triton is being started again: {error}") from error
        del self._patients[model.name]
        log.warning("%s was dead and is loaded again", model.name)

    def _load_again(self, name: str, probe: Probe, held: Claim) -> None:
        held.check()
        self._prober.ready(name)  # a Triton that stands still is not asked to load anything: that would take a minute
        self._loader.unload(name)  # loading an unchanged model that is dead changes nothing
        held.check()
        self._loader.load(name)
        self._loader.prove(name, probe)

    def _report(self, problem: str) -> None:
        if problem and problem != self._problem:  # once, not each second
            log.error("%s", problem)
        self._problem = problem
        file = last_look(self._settings.local)
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, problem)  # half of it may be empty, which says that all is well


class KnownAnswers:
    """What each loaded model was exported with, read once from MLflow; a model whose answer cannot be had must answer
    numbers."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._known: dict[str, Probe] = {}
        self._not_before_ms: dict[str, int] = {}

    def __call__(self, model: LoadedModel) -> Probe:
        """Its probe; that of a version that MLflow does not give just now is asked for again a minute later."""
        known, now = self._known.get(model.name), self._clock.now_ms()
        if known is None and now >= self._not_before_ms.get(model.name, 0):
            try:
                known = self._known[model.name] = self._read(model)
            except (RegistryError, OSError, ValueError, KeyError) as error:
                log.warning("%s must answer numbers, whichever: its known answer cannot be read: %s", model.name, error)
                self._not_before_ms[model.name] = now + ASK_AGAIN_MS
        return known or Probe.any_numbers(model.signature)

    def _read(self, model: LoadedModel) -> Probe:
        from mlflow.exceptions import MlflowException

        try:
            with tempfile.TemporaryDirectory() as folder:
                found = models.version(self._settings, model.version)
                path = models.download(self._settings, found, "probe.npz", Path(folder))
                rows = dict(np.load(path, allow_pickle=False))
        except MlflowException as error:
            raise RegistryError(str(error)) from error
        if OUTPUT not in rows:
            raise RegistryError(f"the probe of version {model.version} has no {OUTPUT}")
        tolerance = PROBE_TOLERANCE_INT8 if model.flavour.endswith("int8") else PROBE_TOLERANCE
        return Probe(model.signature, rows, tolerance)


def last_look(local: Path) -> Path:
    """The file that is as old as the keeper's last look and says what was wrong, if anything."""
    return local / "state" / "model_keeper"
