"""Forgets a user: what every store, the lake and its training sets hold of them, with a record that it was done.

It goes through all places at once, in the order in which they are made from each other: lake, DynamoDB, Redis. Each
deletion is safe to repeat, so whoever comes after a kill goes through all of them again. What is under way then may
bring something back, so the request stays open until that is over (waiting.py), and is asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adfeast.clock import Clock
from adfeast.contract.definitions import Definitions
from adfeast.contract.signature import USER
from adfeast.contract.snapshots import USER_ID
from adfeast.feast_ext.registry import load_definitions
from adfeast.ledger import LAKE, Claim, Ledger, RunInProgress
from adfeast.settings import Settings
from infra.privacy import lake
from infra.privacy.record import Record, Request, subject
from infra.privacy.stores import DynamoDBRows, RedisRows, Store
from infra.privacy.waiting import Progress, Published, horizon_ms, missing, settled

# What Kafka does when neither a topic nor our settings say anything (log.retention.hours=168).
KAFKA_MS = 7 * 86_400_000


@dataclass(frozen=True)
class Deployment:
    """Where users are.

    Attributes:
        stores: the online stores, in the order in which they are emptied.
    """

    settings: Settings
    definitions: Definitions
    stores: Sequence[Store]
    progress: Progress

    @classmethod
    def of(cls, settings: Settings) -> Deployment:
        """The deployment of the settings.

        Raises:
            DefinitionError: nothing is applied, so that nobody knows which columns hold a user.
        """
        stores = DynamoDBRows(settings), RedisRows(settings)
        return cls(settings, load_definitions(settings), stores, Published(settings))

    @property
    def join_key(self) -> str:
        """The column that holds a user."""
        return self.definitions.entities[USER]

    @property
    def columns(self) -> frozenset[str]:
        """The same, and that of the snapshots, which are not declared."""
        return frozenset((self.join_key, USER_ID))


@dataclass(frozen=True)
class Forgotten:
    """What came of it.

    Attributes:
        request: as it stands in the record; of a dry run the last one there, None where there is none.
        found: place to the user's rows that it held this time.
        waits: what must be over before the request is done; then it is asked for again. Empty when it is done.
        kafka_until_ms: until when topics may hold the user's messages; None: for ever.
    """

    request: Request | None
    found: dict[str, int]
    waits: tuple[str, ...]
    kafka_until_ms: int | None


def find(deployment: Deployment, user: str, clock: Clock) -> Forgotten:
    """Where a user is; nothing is changed."""
    settings = deployment.settings
    known = Record(settings).newest(subject(settings, deployment.join_key, user))
    found: dict[str, int] = {}
    for url in lake.roots(settings, deployment.definitions):
        for part in lake.parts(settings, url, deployment.columns, user):
            _count(found, f"lake {part.table}", part.rows)
    for store in deployment.stores:
        found |= store.count(deployment.join_key, user)
    waits = _waits(deployment, known, clock) if known and known.done_ms is None else ()
    return Forgotten(known, found, waits, _kafka_until(settings, known))


def forget(deployment: Deployment, user: str, clock: Clock) -> Forgotten:
    """Goes once through all places. Safe to repeat; who is somewhere again after it was done makes another request.

    Raises:
        RunInProgress: a job reads or writes the lake, or another user is being forgotten.
        LeaseLost: somebody else has taken over.
        NotSettled, FileChanged: files of the lake cannot be changed yet.
        NoForgetKey: the settings have no key for the record.
    """
    settings, ledger = deployment.settings, Ledger(deployment.settings, clock)
    record, who = Record(settings), subject(settings, deployment.join_key, user)
    if (last := record.newest(who)) and last.done_ms is not None:
        looked = find(deployment, user, clock)
        if not looked.found:
            return looked
    with ledger.lease(LAKE) as held:
        if busy := ledger.at_work():
            names = ", ".join(sorted({f"{r.job} of {r.subject!r}" for r in busy}))
            raise RunInProgress(f"the lake is at work ({names}): run it again once that is over; nothing was deleted")
        known = record.newest(who)
        is_open = known is not None and known.done_ms is None
        request = known if known and is_open else Request(who, clock.now_ms(), 0, None, {})
        request, before = record.begin(request), dict(request.rows)
        waits = _waits(deployment, request, clock)  # before the pass: what comes meanwhile is of the next one
        request = _lake(deployment, user, clock, record, request, held)
        for store in deployment.stores:
            for place, rows in store.count(deployment.join_key, user).items():
                request = record.add(request, place, rows)
            store.delete(deployment.join_key, user)
        if not waits:
            request = record.end(request, clock.now_ms())
    found = {p: n - before.get(p, 0) for p, n in request.rows.items() if n > before.get(p, 0)}
    return Forgotten(request, found, waits, _kafka_until(settings, request))


def _lake(deployment: Deployment, user: str, clock: Clock, record: Record, request: Request, held: Claim) -> Request:
    settings, definitions = deployment.settings, deployment.definitions
    urls = lake.roots(settings, definitions)
    found = [part for url in urls for part in lake.parts(settings, url, deployment.columns, user)]
    if found:
        settled(settings, definitions, deployment.progress, clock)
    held.check()
    lake.sweep(settings, definitions)
    for part in found:
        request = record.add(request, f"lake {part.table}", part.rows)
        lake.rewrite(part, user, held.check)
    return request


def _waits(deployment: Deployment, request: Request, clock: Clock) -> tuple[str, ...]:
    due = request.asked_ms + horizon_ms(deployment.definitions, deployment.join_key)
    return tuple(missing(deployment.definitions, deployment.join_key, due, deployment.progress, clock.now_ms()))


def _kafka_until(settings: Settings, request: Request | None) -> int | None:
    retention = KAFKA_MS if settings.kafka_retention_ms is None else settings.kafka_retention_ms
    return request.asked_ms + retention if request and retention >= 0 else None


def _count(found: dict[str, int], place: str, rows: int) -> None:
    found[place] = found.get(place, 0) + rows
