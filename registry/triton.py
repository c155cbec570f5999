"""Control and probing of one Triton server; not for the request path."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfeast.access import triton_authorization
from adfeast.contract.model_names import OUTPUT, REGISTERED_MODEL, SIGNATURE_PARAMETER
from adfeast.contract.signature import DTYPES, TENSORS, Signature
from adfeast.settings import Settings
from registry.errors import DeployFailed

log = logging.getLogger(__name__)
LOAD_SECONDS = 180.0  # a TorchScript flavour imports torch in a new process
# The change in log odds, to first order, that an answer to the probe may show: for a rare click its relative change, so
# that another model of equally small probabilities is told apart. Single precision differs between processors a little
# more than between flavours; tables of int8 may change what export lets them.
PROBE_TOLERANCE = 2e-3
PROBE_TOLERANCE_INT8 = 0.05
PROBE_FLOOR = 1e-3  # odds below this count as this, as they do in export


@dataclass(frozen=True)
class Probe:
    """Inputs by tensor name and, where it is known, the probability exported for each row under OUTPUT."""

    signature: Signature
    rows: dict[str, NDArray[Any]]
    tolerance: float

    @classmethod
    def any_numbers(cls, signature: Signature) -> Probe:
        """One row of zeros, which any probability answers."""
        rows = {t: np.zeros((1, signature.width(role)), DTYPES[role]) for role, t in TENSORS.items()}
        return cls(signature, rows, 0.0)


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


class _Login:
    """What tritonclient calls a plugin: changes each request before it is sent."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def __call__(self, request: Any) -> None:
        request.headers["authorization"] = self._authorization


class Triton:
    """The server of a deployment.

    Args:
        patience_s: how long any call may take.
    """

    def __init__(self, settings: Settings, patience_s: float = LOAD_SECONDS) -> None:
        from tritonclient.http import InferenceServerClient

        scheme, _, address = settings.triton_http.rpartition("://")
        tls = scheme == "https"
        self.client = InferenceServerClient(
            address,
            network_timeout=float(patience_s),
            connection_timeout=min(5.0, patience_s),
            ssl=tls,
            ssl_context_factory=partial(ssl.create_default_context, cafile=settings.tls_ca) if tls else None,
        )
        if authorization := triton_authorization(settings):
            self.client.register_plugin(_Login(authorization))

    def names(self) -> set[str]:
        """The published models that are loaded, are being loaded, or lie in the repository."""
        index = self._call("list", "models", self.client.get_model_repository_index)
        return {entry["name"] for entry in index if entry["name"].startswith(f"{REGISTERED_MODEL}-")}

    def ready(self, name: str) -> bool:
        """Whether it is loaded; it may be dead all the same, see `works`."""
        return bool(self._call("ask for", name, lambda: self.client.is_model_ready(name)))

    def load(self, name: str) -> None:
        """Raises: DeployFailed: Triton refuses it."""
        self._call("load", name, lambda: self.client.load_model(name))

    def unload(self, name: str) -> bool:
        """Unloads a model, whether it was loaded or not; returns whether it is gone."""
        try:
            self._call("unload", name, lambda: self.client.unload_model(name))
        except DeployFailed as error:
            log.warning("%s", error)
        return not self.ready(name)

    def works(self, name: str, probe: Probe) -> bool:
        """A loaded model may be dead: Triton calls it ready when its process was killed."""
        try:
            self.prove(name, probe)
        except DeployFailed as error:
            log.warning("%s; loading it again", error)
            return False
        return True

    def prove(self, name: str, probe: Probe) -> None:
        """Raises: DeployFailed: the model gives the probe's rows other probabilities than it was exported with."""
        from tritonclient.http import InferInput

        inputs = []
        for role, tensor in TENSORS.items():
            if probe.signature.width(role):
                rows = probe.rows[tensor]
                inputs.append(InferInput(tensor, rows.shape, "FP32" if rows.dtype == np.float32 else "INT64"))
                inputs[-1].set_data_from_numpy(rows)
        parameters = {SIGNATURE_PARAMETER: probe.signature.hash}
        answer = self._call("ask", name, lambda: self.client.infer(name, inputs, parameters=parameters))
        found = answer.as_numpy(OUTPUT).reshape(-1)
        if OUTPUT not in probe.rows:
            if not np.isfinite(found).all():
                raise DeployFailed(f"{name} in Triton answers no numbers")
            return
        expected = probe.rows[OUTPUT].reshape(-1)
        if wrong := strays(found, expected, probe.tolerance):
            raise DeployFailed(f"{name} in Triton {wrong}")

    def _call(self, verb: str, name: str, call: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return call()
        except (InferenceServerException, OSError) as error:
            raise DeployFailed(f"Triton did not {verb} {name}: {error}") from error
