"""What an apply would change, and what of it must not be: definitions that are wanted against those that are applied.

Plain data in, plain data out, so that the guard of `feast apply` (adfeast.feast_ext.guard) and `adfeast plan` cannot
say different things.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from adfeast.contract.definitions import Definitions, Feature, View
from adfeast.contract.events import column_defaults, column_types
from adfeast.contract.topics import features_topic
from adfeast.feast_ext.refusals import Models, readers
from adfeast.feast_ext.refusals import refusals as refused

How = Literal["added", "changed", "removed"]
# What a model does with a feature: a change concerns models that are trained from then on, not those that serve.
FOR_NEW_MODELS = ("hash_size", "transform", "default")
CHECKS = ("low", "high", "null_share")
VIEW_SETTINGS = ("kind", "entity", "join_key", "tier", "max_age_s", "fresh_within_s", "bad_rows")


@dataclass(frozen=True)
class Change:
    """One thing that is added, changed or removed.

    Attributes:
        kind: `view`, `feature`, `event`, `column`, `table`, `request source` or `service`.
        name: its name; that of a feature or column after that of its view or topic and a dot.
        details: of a changed one, `what: old -> new`.
        models: loaded models that read it.
    """

    kind: str
    name: str
    how: How
    details: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """What an apply would do.

    Attributes:
        rebuilt: views whose values are made anew, each with why.
        kept: what is no longer defined and yet stays where it is stored, until `adfeast gc --apply`.
        refused: why it would be refused; empty when it would not.
    """

    changes: tuple[Change, ...]
    rebuilt: tuple[str, ...]
    kept: tuple[str, ...]
    refused: tuple[str, ...]


def compare(
    applied: Definitions | None, wanted: Definitions, models: Models, made: Mapping[str, Sequence[str]] | None = None
) -> Changes:
    """What it takes to go from what is applied (None: nothing) to what is wanted.

    Args:
        models: the loaded ones.
        made: batch view to the intervals that were made under the digest which is applied.
    """
    before = applied or Definitions(wanted.project, {}, {}, {}, {}, {}, {})
    reading = readers(models)
    found = [
        *_named("view", before.views, wanted.views, _view_details),
        *_features(before, wanted, reading),
        *_named("event", before.events, wanted.events, lambda old, new: ()),
        *_columns(before, wanted),
        *_named("table", before.tables, wanted.tables, lambda old, new: _differing(old, new, ("max_age_s", "url"))),
        *_named("request source", before.request_sources, wanted.request_sources, lambda old, new: ()),
        *_named("service", before.services, wanted.services, _service_details),
    ]
    return Changes(
        tuple(found),
        tuple(_rebuilt(before, wanted, made or {})),
        tuple(_kept(before, wanted)),
        tuple(refused(applied, wanted, models)),
    )


def _named(kind: str, before: Mapping[str, Any], after: Mapping[str, Any], details: Any) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield Change(kind, name, "added")
        elif name not in after:
            yield Change(kind, name, "removed")
        elif differing := tuple(details(before[name], after[name])):
            yield Change(kind, name, "changed", differing)


def _differing(old: Any, new: Any, names: Sequence[str]) -> list[str]:
    return [f"{n}: {getattr(old, n)} -> {getattr(new, n)}" for n in names if getattr(old, n) != getattr(new, n)]


def _view_details(old: View, new: View) -> list[str]:
    return _differing(old, new, VIEW_SETTINGS)


def _service_details(old: Any, new: Any) -> list[str]:
    one, other = dict(old.views), dict(new.views)
    taken = [f"takes {view}" for view in other if view not in one]
    return taken + [f"no longer takes {view}" for view in one if view not in other]


def all_features(definitions: Definitions) -> dict[tuple[str, str], Feature]:
    """Every feature by its view, or request source, and name."""
    found = {(v.name, f.name): f for v in definitions.views.values() for f in v.features}
    return found | {(s, f.name): f for s, fs in definitions.request_sources.items() for f in fs}


def _features(
    before: Definitions, after: Definitions, reading: Mapping[tuple[str, str], tuple[str, ...]]
) -> Iterator[Change]:
    old, new = all_features(before), all_features(after)
    for key in sorted(old.keys() | new.keys()):
        name, models = ".".join(key), reading.get(key, ())
        if key not in old:
            yield Change("feature", name, "added", models=models)
        elif key not in new:
            yield Change("feature", name, "removed", models=models)
        else:
            one, other = before.identities[key], after.identities[key]
            details = _differing(one, other, [f.name for f in fields(one)])
            details += [f"{d} (for new models)" for d in _differing(old[key], new[key], FOR_NEW_MODELS)]
            details += _differing(old[key], new[key], CHECKS)
            if details:
                yield Change("feature", name, "changed", tuple(details), models)


def _columns(before: Definitions, after: Definitions) -> Iterator[Change]:
    for topic in sorted(before.events.keys() & after.events.keys()):
        old, new = (_described(d.events[topic]) for d in (before, after))
        yield from _named("column", old, new, lambda one, other: () if one == other else (f"{one} -> {other}",))


def _described(schema: Mapping[str, Any]) -> dict[str, str]:
    defaults = column_defaults(schema)
    return {
        f"{schema['name']}.{name}": kind + (f" with default {defaults[name]!r}" if name in defaults else "")
        for name, kind in column_types(schema).items()
    }


def _rebuilt(before: Definitions, after: Definitions, made: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, view in sorted(after.views.items()):
        old = before.views.get(name)
        if old is None or old.digest == view.digest:
            continue
        if view.kind == "stream":
            yield f"stream view {name}: its job is built beside the running one and replaces it once it has caught up"
        else:
            intervals = made.get(name, ())
            due = f"{len(intervals)} intervals are due again ({', '.join(intervals)})" if intervals else "none was made"
            yield f"batch view {name}: another query, {due}"


def _kept(before: Definitions, after: Definitions) -> Iterator[str]:
    for name, view in sorted(before.views.items()):
        gone = name not in after.views
        left = {f.name for f in view.features} - (set() if gone else {f.name for f in after.views[name].features})
        if gone and view.tier == "dynamodb":
            yield f"DynamoDB table {after.project}.{name}"
        elif left and view.tier == "redis":
            yield f"Redis fields of {name}: {', '.join(sorted(left))}"
        if gone and view.kind == "stream":
            yield f"Kafka topic {features_topic(after.project, name)}"
