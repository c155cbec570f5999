"""What no apply may do: take from a loaded model what it reads, or give it something else under the same name.

Also what nobody could read afterwards: an event column that older events have not, or have with another type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import column_defaults, column_types
from adfeast.contract.signature import Identity
from adfeast.errors import DefinitionError
from adfeast.fleet import LoadedModel

Models = Sequence[LoadedModel]
Key = tuple[str, str]  # view, or request source, and feature

OUT_OF_MODELS = (
    "give a changed feature a new name beside the old one, which stays until no model reads it; or deploy a model that "
    "does not read it and take the old one out of service with `adfeast model unload`"
)


class ApplyRefused(DefinitionError):
    """An apply would break what runs; the registry was not touched.

    Attributes:
        reasons: each names what would be wrong, and with it who is concerned and what to do instead.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        lines = "\n".join(f"  - {reason}" for reason in reasons)
        super().__init__(f"apply refused, nothing was changed:\n{lines}")
        self.reasons = tuple(reasons)


def readers(models: Models) -> dict[Key, tuple[str, ...]]:
    """Feature to the names of the loaded models that read it."""
    found: dict[Key, tuple[str, ...]] = {}
    for model in models:
        for i in model.signature.inputs:
            found[i.view, i.name] = (*found.get((i.view, i.name), ()), model.name)
    return found


def refusals(applied: Definitions | None, wanted: Definitions, models: Models) -> list[str]:
    """Why `wanted` must not be applied over `applied` (None: nothing yet); empty when it may."""
    reasons = [*_repeated(wanted), *_features(wanted, models)]
    if applied is not None:
        reasons += [*_places(applied, wanted, models), *_services(applied, wanted, models), *_events(applied, wanted)]
    return reasons


def _repeated(wanted: Definitions) -> Iterator[str]:
    owners: dict[str, list[str]] = {}
    for view, name in wanted.identities:
        owners.setdefault(name, []).append(view)
    for name, views in sorted(owners.items()):
        if len(views) > 1:
            yield f"feature {name!r} stands in {' and in '.join(map(repr, sorted(views)))}: rename it in one of them"


def _features(wanted: Definitions, models: Models) -> Iterator[str]:
    # By feature, so that ten models that read it make one reason.
    found: dict[tuple[Identity, Identity | None], list[str]] = {}
    for model in models:
        for i in model.signature.inputs:
            made = wanted.identities.get((i.view, i.name))
            if made != i.identity:
                found.setdefault((i.identity, made), []).append(model.name)
    for (read, now), names in found.items():
        if now is None:
            what = f"would be removed{_renamed(wanted, read)}"
        else:
            differing = [f.name for f in fields(Identity) if getattr(read, f.name) != getattr(now, f.name)]
            changes = (f"{n} {getattr(read, n)!r} -> {getattr(now, n)!r}" for n in differing)
            what = f"would be another feature ({', '.join(changes)})"
        yield f"feature {read.name!r} of {read.view!r} {what}, and {_loaded(names)}: {OUT_OF_MODELS}"


def _renamed(wanted: Definitions, read: Identity) -> str:
    alike = ("view", "source", "role", "dtype", "width", "made")
    for now in wanted.identities.values():
        if read.made and all(getattr(now, a) == getattr(read, a) for a in alike):
            return f" (it looks as if it were renamed to {now.name!r})"
    return ""


def _places(applied: Definitions, wanted: Definitions, models: Models) -> Iterator[str]:
    for name in sorted(applied.views.keys() & wanted.views.keys()):
        reading = [m.name for m in models if any(i.view == name for i in m.signature.inputs)]
        for what in ("tier", "join_key"):
            old, new = getattr(applied.views[name], what), getattr(wanted.views[name], what)
            if reading and old != new:
                yield (
                    f"{what} of view {name!r} would change from {old!r} to {new!r}, where none of its values are, and "
                    f"{_loaded(reading)}: declare a view of another name beside it"
                )


def _services(applied: Definitions, wanted: Definitions, models: Models) -> Iterator[str]:
    for service in sorted(applied.services.keys() - wanted.services.keys()):
        if names := [m.name for m in models if m.signature.service == service]:
            yield (
                f"service {service!r} would be removed, and {_loaded(names)}: keep it until they are taken out of "
                "service with `adfeast model unload`"
            )


def _events(applied: Definitions, wanted: Definitions) -> Iterator[str]:
    for topic in sorted(applied.events.keys() & wanted.events.keys()):
        for problem in _evolution(applied.events[topic], wanted.events[topic]):
            yield f"event {topic!r}: {problem}"


def _evolution(older: Mapping[str, Any], newer: Mapping[str, Any]) -> Iterator[str]:
    before, after = column_types(older), column_types(newer)
    had, has = column_defaults(older), column_defaults(newer)
    for name, kind in before.items():
        if name not in after:
            yield f"column {name!r} would be removed, which archived events have: keep it"
        elif after[name] != kind:
            yield f"column {name!r} is {kind} in older events and cannot become {after[name]}: add one of another name"
        elif name in had and name not in has:
            yield f"column {name!r} would lose its default, which stands for it in events that have it not: keep it"
    for name in after:
        if name not in before and name not in has:
            yield f"column {name!r} is not in older events: declare it with optional({after[name]!r}, its default)"


def _loaded(names: Sequence[str]) -> str:
    models = ", ".join(dict.fromkeys(names))
    return f"loaded model{'s' if len(set(names)) > 1 else ''} {models} read{'' if len(set(names)) > 1 else 's'} it"
