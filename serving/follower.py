"""Follows the Feast registry, MLflow and Triton while requests run, and swaps what is live when one of them changes.

A new plan is compiled, recorded and warmed off the request path; nothing of it is seen before it is whole. Whatever
cannot be used is reported and leaves what runs as it is. `feast apply` writes the registry object by object, so
definitions count once two looks in a row have found the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.contract.event_rules import server_rules
from adfeast.contract.history import CONTRACT, History
from adfeast.contract.signature import Contract
from adfeast.contract.snapshots import SnapshotCodec
from adfeast.errors import AdfeastError
from adfeast.feast_ext.registry import load_definitions, registry_digest
from adfeast.settings import Settings
from serving.errors import ModelUnavailable
from serving.features.plan import Plan, compile_plan
from serving.features.reader import FeatureReader, Tiers
from serving.live import Live, choose
from serving.model.pointer import ModelPointer, Models
from serving.predict.request import RequestChecker

log = logging.getLogger(__name__)
POLL_S = 1.0

Changed = Callable[[Live, Definitions], Awaitable[None]]


class Follower:
    """Keeps what is live in line with what is applied and deployed.

    Args:
        changed: awaited with each new value, before requests see it.

    Attributes:
        live: what a request that begins now is served with.

    Raises:
        DefinitionError: nothing usable is applied.
    """

    def __init__(self, settings: Settings, tiers: Tiers, pointer: ModelPointer, clock: Clock, changed: Changed) -> None:
        self._settings, self._tiers, self._pointer, self._clock = settings, tiers, pointer, clock
        self._changed, self._history = changed, History(settings)
        self._digest = self._seen = registry_digest(settings)
        self.definitions = load_definitions(settings)
        contract = self.definitions.contract(settings.feature_service)
        self.live = self._assemble(self._compile(self.definitions, contract))
        self._models = Models()
        self._problems: dict[str, str] = {"models": "nobody has been asked yet"}

    @property
    def knows_models(self) -> bool:
        """Whether MLflow and Triton have said which models there are: only then "none" means none."""
        return "models" not in self._problems

    async def look(self) -> str:
        """Looks once, and swaps if there is reason to; what it looks at cannot make it raise.

        Returns:
            Why it does not know what is deployed or applied; empty if it does.
        """
        try:
            self._models = await self._pointer.look()
            self._problem("models", "")
        except ModelUnavailable as error:
            self._problem("models", str(error))
        try:
            found, definitions = await asyncio.to_thread(self._applied)
            await self._bring_in_line(definitions)
            self._digest = found
            self._problem("definitions", "")
        except AdfeastError as error:
            self._problem("definitions", str(error))
        self.live = replace(self.live, problems=tuple(t for t in self._problems.values() if t))
        return "; ".join(self._problems[of] for of in ("models", "definitions") if of in self._problems)

    def _applied(self) -> tuple[str, Definitions]:
        """Digest and definitions of the registry, once they have stood still; until then those in use."""
        found = registry_digest(self._settings)
        if found == self._digest or found != self._seen:
            self._seen = found
            return self._digest, self.definitions
        return found, load_definitions(self._settings)

    async def _bring_in_line(self, definitions: Definitions) -> None:
        former = self.live
        chosen = choose(definitions, self._settings.feature_service, self._models, former.answers)
        self._problem("held", "; ".join(chosen.problems))
        live = former
        if chosen.contract != former.contract or definitions.views != self.definitions.views:
            plan = await asyncio.to_thread(self._compile, definitions, chosen.contract)
            live = self._assemble(plan)
            await live.reader.warm(former.reader.known_ads)
        live = live.with_models(chosen)
        if live is not former or definitions != self.definitions:
            await self._changed(live, definitions)
        self.definitions, self.live = definitions, live

    def _compile(self, definitions: Definitions, contract: Contract) -> Plan:
        """A plan whose contract is recorded: no snapshot may name one that nobody can look up."""
        plan = compile_plan(definitions, contract)
        self._history.record(CONTRACT, contract.hash, contract.to_json())
        return plan

    def _assemble(self, plan: Plan) -> Live:
        settings = self._settings
        return Live(
            service=settings.feature_service,
            plan=plan,
            reader=FeatureReader(plan, self._tiers, settings, self._clock),
            checker=RequestChecker(plan, settings.max_candidates, self._clock, server_rules(settings)),
            codec=SnapshotCodec(plan.contract),
        )

    def _problem(self, of: str, text: str) -> None:
        known = self._problems.get(of, "")
        if text and text != known:  # once, not each second
            log.error("%s; what runs goes on", text)
        if text:
            self._problems[of] = text
        else:
            self._problems.pop(of, None)
