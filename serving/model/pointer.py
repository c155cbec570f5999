"""Which model answers: follows MLflow's word on production, off the request path.

The registered model's tag `production` holds the Triton name to serve with, version and flavour; a deploy writes it
last. The alias of the same name is for people and is not read here.

A version is used once Triton has it ready and it was made for this server's signature. Until then, and when one is
refused, the model before it keeps answering.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

from adfeast.contract.model_names import PRODUCTION_TAG, REGISTERED_MODEL
from adfeast.contract.signature import Signature
from adfeast.errors import SignatureMismatch
from adfeast.settings import Settings
from serving.clients.http import HttpError, HttpPool
from serving.errors import ModelUnavailable, NoModel
from serving.model.triton import Model, describe

log = logging.getLogger(__name__)

POLL_S = 1.0


class ModelPointer:
    """Holds the current model.

    Args:
        changed: awaited with each model that becomes current.

    Attributes:
        refused: why the version that production points at is not used; empty if it is.
    """

    def __init__(
        self, settings: Settings, signature: Signature, triton: HttpPool, changed: Callable[[Model], Awaitable[None]]
    ) -> None:
        self._signature, self._triton, self._changed = signature, triton, changed
        self._mlflow = HttpPool(settings.mlflow_url, connections=2, timeout_s=10.0)
        query = urlencode({"name": REGISTERED_MODEL})
        self._path = f"{urlsplit(settings.mlflow_url).path}/api/2.0/mlflow/registered-models/get?{query}"
        self._model: Model | None = None
        self.refused = ""

    def current(self) -> Model:
        """Raises: NoModel: none was ever usable."""
        if self._model is None:
            raise NoModel(
                self.refused
                or "no model is deployed: register one with `adfeast model register` and run `adfeast model deploy`"
            )
        return self._model

    @property
    def name(self) -> str:
        """Triton name of the current model, empty while there is none."""
        return self._model.name if self._model else ""

    async def refresh(self) -> None:
        """Looks once and switches if there is reason to."""
        try:
            name = await self._production() or ""
            if not name or name == self.name:
                self._refuse("")
                return
            model = await describe(self._triton, name)
            self._signature.require(model.signature_hash, f"model {name!r}")
        except (SignatureMismatch, ModelUnavailable) as error:
            self._refuse(str(error))
            return
        self._model = model
        self._refuse("")
        log.info("serving %s", name)
        await self._changed(model)

    async def follow(self) -> None:
        """Refreshes until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.refresh()

    async def _production(self) -> str | None:
        """Triton name of what is production, None when nothing is.

        Raises:
            ModelUnavailable: MLflow does not say.
        """
        try:
            answer = await self._mlflow.get(self._path)
        except (HttpError, TimeoutError) as error:
            where = self._mlflow.authority.decode()
            raise ModelUnavailable(f"MLflow at {where} does not answer: {error or 'timeout'}") from error
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise ModelUnavailable(f"MLflow answers HTTP {answer.status}: {answer.body[:200].decode(errors='replace')}")
        tags = json.loads(answer.body)["registered_model"].get("tags", [])
        return next((t["value"] for t in tags if t["key"] == PRODUCTION_TAG), None)

    def _refuse(self, reason: str) -> None:
        if reason and reason != self.refused:  # once, not each second
            log.error("%s; %s", reason, f"{self.name} keeps answering" if self._model else "no model answers yet")
        self.refused = reason

    def close(self) -> None:
        """Closes the connections."""
        self._mlflow.close()
