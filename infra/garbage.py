"""What the online stores and Kafka hold that nobody defines and nobody reads any more; the lake is never touched.

`feast apply` takes nothing away, because servers and models may read for long what is no longer defined. Here it goes:
a feature is in use while it is defined, while a loaded model reads it, or while it stands in the contract of a server
that is alive. What a deployment once had is known from its history of applies and contracts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

from adfeast.access import KafkaAccess
from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.contract.history import APPLIED, CONTRACT, History
from adfeast.contract.signature import Contract
from adfeast.contract.topics import dead_letter_topic, features_topic, late_topic
from adfeast.feast_ext.registry import LEASE, load_definitions
from adfeast.fleet import loaded_models, servers
from adfeast.ledger import Ledger
from adfeast.secret import without_passwords
from adfeast.settings import Settings
from infra.local.errors import PlatformError
from infra.stored import Redis, Tables
from streaming.errors import StreamingError
from streaming.flink_rest import FlinkRest
from streaming.kafka_admin import admin, end_offsets
from streaming.plan import make_plan
from streaming.running import beside, differs, running

# Whoever holds one of these changes what is in use.
LEASES = ("gc", LEASE, "deploy")
Key = tuple[str, str]  # view and feature


@dataclass(frozen=True)
class Garbage:
    """Something that goes: `kind` is `table`, `fields` or `topic`; `size` its rows, hash fields or messages."""

    kind: str
    name: str
    size: int


@dataclass(frozen=True)
class Found:
    """What goes, and what had to be left aside with the reason."""

    garbage: tuple[Garbage, ...]
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Use:
    """Which features are in use.

    Attributes:
        read: by loaded models and servers that are alive.
        known: every feature there ever was.
    """

    definitions: Definitions
    read: frozenset[Key]
    known: frozenset[Key]

    @cached_property
    def features(self) -> frozenset[Key]:
        """Those that are defined or read."""
        return self.read | self.definitions.identities.keys()

    def needs(self, view: str, tier: str) -> bool:
        """Whether a tier must go on holding rows of a view."""
        defined = self.definitions.views.get(view)
        return any(v == view for v, _ in self.read) or (defined is not None and defined.tier == tier)

    def unused(self, tier: str) -> list[Key]:
        """Features whose values a tier need not hold any more."""
        return sorted(k for k in self.known if k not in self.features or not self.needs(k[0], tier))


def collect(settings: Settings, clock: Clock, *, apply: bool) -> Found:
    """Finds what nobody needs, and takes it away if told so; safe to repeat.

    Raises:
        RunInProgress: an apply, a deploy or another collection is at work.
        DefinitionError: nothing is applied, so that nothing can be known to be unused.
        PlatformError: a server reads by a contract that nobody recorded.
    """
    with ExitStack() as held:
        leases = [held.enter_context(Ledger(settings, clock).lease(name)) for name in LEASES]
        use = in_use(settings, clock.now_ms())
        if apply:
            for lease in leases:
                lease.check()
        garbage = [*_tables(settings, use, apply), *_fields(settings, use, apply)]
        topics, left = _topics(settings, use, apply)
        return Found((*garbage, *topics), left)


def in_use(settings: Settings, now_ms: int) -> Use:
    """Asks the registry, the loaded models, the servers and the history."""
    history = History(settings)
    contracts = {entry.id: Contract.from_json(entry.body) for entry in history.entries(CONTRACT)}
    read = {(i.view, i.name) for m in loaded_models(settings) for i in m.signature.inputs}
    for server in servers(settings, now_ms):
        if server.contract and server.contract not in contracts:
            raise PlatformError(
                f"server {server.server} reads by contract {server.contract[:12]}, which the history in "
                f"{without_passwords(settings.registry_url)} does not hold: nothing was taken away; restart that server"
            )
        if server.contract:
            read |= {(i.view, i.name) for i in contracts[server.contract].inputs}
    applied = [Contract.from_json(entry.body) for entry in history.entries(APPLIED)]
    known = {(i.view, i.name) for c in (*contracts.values(), *applied) for i in c.inputs}
    return Use(load_definitions(settings), frozenset(read), frozenset(known))


def _tables(settings: Settings, use: Use, apply: bool) -> Iterator[Garbage]:
    tables = Tables(settings)
    for view in tables.views():
        if not use.needs(view, "dynamodb"):
            yield Garbage("table", tables.name(view), tables.rows(view))
            if apply:
                tables.drop(view)


def _fields(settings: Settings, use: Use, apply: bool) -> Iterator[Garbage]:
    views = {view for view, _ in use.known if not use.needs(view, "redis")}
    with Redis(settings) as store:
        found = store.take if apply else store.count
        sizes = found(use.unused("redis"), views, keep=use.features)
    for name, size in sorted(sizes.items()):
        if size:
            yield Garbage("fields", name, size)


def _topics(settings: Settings, use: Use, apply: bool) -> tuple[list[Garbage], tuple[str, ...]]:
    gone = {view for view, _ in use.known if not use.needs(view, "redis")}
    project = settings.project
    names = {topic for view in gone for topic in (features_topic(project, view), late_topic(project, view))}
    names |= {dead_letter_topic(features_topic(project, view)) for view in gone}
    try:
        with admin(KafkaAccess.of(settings), patience_s=5) as client:
            names &= set(client.list_topics())
        if not names:
            return [], ()
        if problem := _still_written(settings, use.definitions):
            return [], (f"Kafka topics {', '.join(sorted(names))}: {problem}",)
        sizes = dict.fromkeys(sorted(names), 0)
        for (topic, _), end in end_offsets(KafkaAccess.of(settings), sorted(names)).items():
            sizes[topic] += end
        if apply:
            with admin(KafkaAccess.of(settings)) as client:
                client.delete_topics(sorted(names))
    except StreamingError as error:
        return [], (f"Kafka topics: {error}",)
    return [Garbage("topic", topic, size) for topic, size in sizes.items()], ()


def _still_written(settings: Settings, definitions: Definitions) -> str:
    """Why a stream job may still write to topics of former definitions; empty when none does."""
    plan = make_plan(definitions, settings)
    found = running(settings.project, FlinkRest(settings.flink_rest))
    for name in differs(plan, found):
        if name in found:
            return f"job {found[name][0].name} still runs as it was before: run `adfeast stream submit` first"
    for _, _, old in beside(plan, found):
        return f"job {old.name}@{old.digest} still runs until the one that replaces it has caught up"
    return ""
