"""Everything that one request is served with, in one value that is swapped as a whole between two requests.

A request takes the value once and keeps it to its end, so a change of definitions or models never meets one half way.
What is read and logged is the union of the service and of every loaded model; each model takes its inputs out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from adfeast.contract.definitions import Definitions
from adfeast.contract.signature import Contract
from adfeast.contract.snapshots import SnapshotCodec
from adfeast.contract.tensors import Selection
from adfeast.errors import DefinitionError
from serving.features.plan import Plan
from serving.features.reader import FeatureReader
from serving.model.pointer import Models
from serving.model.triton import Model
from serving.predict.request import RequestChecker


@dataclass(frozen=True, eq=False)
class Taken:
    """A model, and how its inputs are taken out of what is read."""

    model: Model
    selection: Selection


@dataclass(frozen=True)
class Chosen:
    """What definitions and models ask for.

    Attributes:
        contract: what is to be read.
        models: those that can be held, by name; `answers` is the name of the one that answers, empty for none.
        problems: why a model is not held.
    """

    contract: Contract
    models: Mapping[str, Model]
    answers: str
    problems: tuple[str, ...]


def choose(definitions: Definitions, service: str, models: Models, answering: Taken | None) -> Chosen:
    """The union of the service and of every loaded model that the definitions can feed.

    The model that answers now goes on until production names another one that can be held: neither a Triton that is
    away for a moment nor a deploy that went wrong takes it away.

    Raises:
        DefinitionError: there is no such service, it names a feature twice, or the model that must go on answering
            reads what the definitions do not make.
    """
    signature = definitions.signature(service)
    held, problems = dict(models.loaded), list(models.problems)
    for name, model in models.loaded.items():
        if lacking := definitions.missing(model.signature):
            problems.append(f"model {name!r} cannot be fed: {'; '.join(lacking)}")
            del held[name]
    answers = models.production
    if answers not in held and answering is not None:
        answers = answering.model.name
        if lacking := definitions.missing(answering.model.signature):
            raise DefinitionError(f"model {answers!r} answers, and cannot be fed any more: {'; '.join(lacking)}")
        held.setdefault(answers, answering.model)
    contract = Contract.union(signature, *(held[name].signature for name in sorted(held)))
    return Chosen(contract, held, answers if answers in held else "", tuple(problems))


@dataclass(frozen=True, eq=False)
class Live:
    """See the module.

    Attributes:
        answers: the model that answers, None while there is none.
        holds: every loaded model whose inputs are read, by name.
        problems: why the newest definitions or a model are not used.
    """

    service: str
    plan: Plan
    reader: FeatureReader
    checker: RequestChecker
    codec: SnapshotCodec
    answers: Taken | None = None
    holds: Mapping[str, Taken] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def contract(self) -> Contract:
        """What is read and logged."""
        return self.plan.contract

    def with_models(self, chosen: Chosen) -> Live:
        """This value with other models; itself where they are the same."""
        known = {name: taken for name, taken in self.holds.items() if chosen.models.get(name) is taken.model}
        answering = self.answers.model.name if self.answers else ""
        if known.keys() == chosen.models.keys() == self.holds.keys() and answering == chosen.answers:
            return self
        holds = {
            name: known.get(name) or Taken(model, Selection(self.contract, model.signature))
            for name, model in chosen.models.items()
        }
        return replace(self, holds=holds, answers=holds.get(chosen.answers))
