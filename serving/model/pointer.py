"""Which model is to answer, and which are loaded: asked of MLflow and Triton, off the request path.

The ads' own click rates come from the artifact of the model's version in MLflow; a model is used before they are there.
A server that starts while MLflow is away answers with the model that the other servers answer with.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from adfeast.access import mlflow_authorization
from adfeast.contract.base_rates import FILE, BaseRates
from adfeast.contract.model_names import PRODUCTION_TAG, REGISTERED_MODEL, parse_triton_model
from adfeast.settings import Settings
from serving.clients.http import HttpError, HttpPool
from serving.errors import ModelUnavailable
from serving.model.triton import Model, describe, loaded

log = logging.getLogger(__name__)
ATTEMPTS = 3  # to read the click rates of a version that may have none


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
    """Asks; each model is described once and remembered while it stays loaded.

    Args:
        others: Triton names of the models with which servers answer now, one a server, empty for none; may block.
    """

    def __init__(self, settings: Settings, triton: HttpPool, others: Callable[[], Sequence[str]] = lambda: ()) -> None:
        self._triton, self._others = triton, others
        self._heard = False  # whether MLflow has ever said what production is
        self._mlflow = HttpPool(
            settings.mlflow_url, 2, 10.0, authorization=mlflow_authorization(settings), tls_ca=settings.tls_ca
        )
        self._root = urlsplit(settings.mlflow_url).path
        query = urlencode({"name": REGISTERED_MODEL})
        self._path = f"{self._root}/api/2.0/mlflow/registered-models/get?{query}"
        self._known: dict[str, Model] = {}
        self._attempts: dict[str, int] = {}

    async def look(self) -> Models:
        """What stands now.

        Raises:
            ModelUnavailable: MLflow or Triton does not say; nothing is known to have changed.
        """
        problems = []
        try:
            production, heard = await self._production(), True
        except ModelUnavailable as error:
            production, heard = await self._answering(error), False
            problems.append(f"{error}; {production!r} is production to the other servers")
        names = await loaded(self._triton)
        self._heard |= heard
        if production and production not in names:
            problems.append(f"production is {production!r}, which Triton has not loaded: deploy it again")
        found = {}
        for name in names:
            try:
                found[name] = self._known.get(name) or await describe(self._triton, name)
            except ModelUnavailable as error:
                problems.append(str(error))
        self._known = found
        if heard:
            for model in found.values():
                await self._complete(model)
        return Models(production, found, tuple(problems))

    async def _answering(self, error: ModelUnavailable) -> str:
        """What the other servers answer with; who has heard MLflow itself needs nobody else."""
        if self._heard:
            raise error
        try:
            known = [name for name in await asyncio.to_thread(self._others) if name]
        except SQLAlchemyError as unknown:
            raise error from unknown
        if not known:
            raise error
        return Counter(known).most_common(1)[0][0]

    async def _complete(self, model: Model) -> None:
        """Gives a model the click rates of the ads, once they can be read."""
        done = self._attempts.get(model.name, 0)
        if model.rates is None or done >= ATTEMPTS:
            return
        self._attempts[model.name] = done + 1
        try:
            model.rates = await self._rates(model.name)
            self._attempts[model.name] = ATTEMPTS
        except (HttpError, TimeoutError, ValueError, KeyError, TypeError) as error:
            log.warning("the click rates of the ads of %s are not known: %s", model.name, error or "timeout")

    async def _rates(self, name: str) -> BaseRates:
        version = urlencode({"name": REGISTERED_MODEL, "version": parse_triton_model(name)[0]})
        answer = await self._mlflow.get(f"{self._root}/api/2.0/mlflow/model-versions/get?{version}")
        run = json.loads(answer.body)["model_version"]["run_id"]
        answer = await self._mlflow.get(f"{self._root}/get-artifact?{urlencode({'path': FILE, 'run_uuid': run})}")
        if answer.status != 200:
            raise ValueError(f"MLflow answers HTTP {answer.status} for {FILE}")
        return BaseRates.from_bytes(answer.body)

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
