"""Every feature with what is known of it: who makes it, since when it is logged, which loaded models read it."""

from __future__ import annotations

from dataclasses import dataclass

from adfeast.contract.definitions import Definitions
from adfeast.contract.history import CONTRACT, History
from adfeast.contract.signature import REQUEST, Contract, Identity
from adfeast.feast_ext.refusals import readers
from adfeast.feast_ext.registry import load_definitions
from adfeast.fleet import loaded_models
from adfeast.settings import Settings


@dataclass(frozen=True)
class Entry:
    """One feature.

    Attributes:
        type: its dtype, with its width where that is not 1.
        maker: `stream job`, `batch view`, `caller`, or `nobody` when it is read but no longer made so.
        how: as in its identity.
        logged_since_ms: when the first contract was recorded that holds it as it is made; None: not logged yet.
        models: loaded models that read it.
        may_go: `yes` or the reason why not.
    """

    name: str
    view: str
    type: str
    maker: str
    how: str
    logged_since_ms: int | None
    models: tuple[str, ...]
    may_go: str


def catalogue(settings: Settings) -> list[Entry]:
    """Features that are defined, and those that a loaded model reads although they are not, by view and name.

    Raises:
        DefinitionError: nothing is applied.
    """
    definitions, models = load_definitions(settings), loaded_models(settings)
    since, reading = logged_since(settings), readers(models)
    read = {i.identity for m in models for i in m.signature.inputs}
    entries = []
    for identity in sorted({*definitions.identities.values(), *read}, key=lambda i: (i.view, i.name, i.made)):
        key = identity.view, identity.name
        names = reading.get(key, ())
        entries.append(
            Entry(
                name=identity.name,
                view=identity.view,
                type=identity.dtype if identity.width == 1 else f"{identity.dtype} [{identity.width}]",
                maker=_maker(definitions, identity),
                how=identity.made,
                logged_since_ms=since.get(identity),
                models=names,
                may_go="no: read" if names else "yes",
            )
        )
    return entries


def logged_since(settings: Settings) -> dict[Identity, int]:
    """Identity to the time in milliseconds at which the first contract that holds it was recorded."""
    found: dict[Identity, int] = {}
    for entry in History(settings).entries(CONTRACT):
        for identity in Contract.from_json(entry.body).inputs:
            found.setdefault(identity, entry.first_ms)
    return found


def _maker(definitions: Definitions, identity: Identity) -> str:
    if definitions.identities.get((identity.view, identity.name)) != identity:
        return "nobody"
    if identity.source == REQUEST:
        return "caller"
    return "stream job" if definitions.views[identity.view].kind == "stream" else "batch view"
