"""Which model is to answer, and which are loaded: asked of MLflow and Triton, off the request path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from adfeast.access import mlflow_authorization
from adfeast.contract.model_names import PRODUCTION_TAG, REGISTERED_MODEL
from adfeast.settings import Settings
from serving.clients.http import HttpError, HttpPool
from serving.errors import ModelUnavailable
from serving.model.triton import Model, describe, loaded


@dataclass(frozen=True)
class Models:
    """What was found out.

    Attributes:
        production: Triton name of the model that is to answer; empty when none is deployed.
        loaded: the models that Triton has ready, by name.
        problems: why a model that should be there is not.
    """

    production: str = ""
    loaded: Mapping[str, Model] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class ModelPointer:
    """Asks; each model is described once and remembered while it stays loaded."""

    def __init__(self, settings: Settings, triton: HttpPool) -> None:
        self._triton = triton
        self._mlflow = HttpPool(
            settings.mlflow_url, 2, 10.0, authorization=mlflow_authorization(settings), tls_ca=settings.tls_ca
        )
        query = urlencode({"name": REGISTERED_MODEL})
        self._path = f"{urlsplit(settings.mlflow_url).path}/api/2.0/mlflow/registered-models/get?{query}"
        self._known: dict[str, Model] = {}

    async def look(self) -> Models:
        """What stands now.

        Raises:
            ModelUnavailable: MLflow or Triton does not say; nothing is known to have changed.
        """
        production, names = await self._production(), await loaded(self._triton)
        problems = []
        if production and production not in names:
            problems.append(f"production is {production!r}, which Triton has not loaded: deploy it again")
        found = {}
        for name in names:
            try:
                found[name] = self._known.get(name) or await describe(self._triton, name)
            except ModelUnavailable as error:
                problems.append(str(error))
        self._known = found
        return Models(production, found, tuple(problems))

    async def _production(self) -> str:
        """Triton name of the model that production points at, empty when there is none.

        Raises:
            ModelUnavailable: MLflow does not say.
        """
        where = self._mlflow.authority.decode()
        try:
            answer = await self._mlflow.get(self._path)
        except (HttpError, TimeoutError) as error:
            raise ModelUnavailable(f"MLflow at {where} does not answer: {error or 'timeout'}") from error
        if answer.status == 404:
            return ""
        if answer.status != 200:
            raise ModelUnavailable(f"MLflow answers HTTP {answer.status}: {answer.body[:200].decode(errors='replace')}")
        try:
            tags = json.loads(answer.body)["registered_model"].get("tags", [])
            return next((str(t["value"]) for t in tags if t["key"] == PRODUCTION_TAG), "")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelUnavailable(f"MLflow at {where} answers what is none of its answers: {error!r}") from error

    def close(self) -> None:
        """Closes the connections."""
        self._mlflow.close()
