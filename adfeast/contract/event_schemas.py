"""The Avro schemas that the event topics ever had, and which of them the running stream jobs can read.

Every schema is kept for ever by its fingerprint (adfeast.contract.history), because messages of it may still lie in
Kafka. A column may be added with a default, or taken away; its type never changes. Readers change first: a producer
takes the newest schema only when the running jobs know it (`writing`), so nothing that was acknowledged is undecodable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, MetaData, String, Table, select

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import check_defaults, column_defaults, column_types, fingerprint
from adfeast.contract.history import History, event_kind
from adfeast.contract.snapshots import SCHEMA as SNAPSHOT
from adfeast.contract.snapshots import TOPIC as SNAPSHOTS
from adfeast.database import create_tables
from adfeast.errors import DefinitionError
from adfeast.settings import Settings

Schema = dict[str, Any]
_meta = MetaData()
READABLE = Table(
    "readable_schemas",
    _meta,
    Column("project", String(80), primary_key=True),
    Column("topic", String(200), primary_key=True),
    Column("id", String(16), primary_key=True),
)


def schemas(definitions: Definitions) -> dict[str, Schema]:
    """Archived topic to its newest schema: the events of the definitions, and the snapshots."""
    return {**definitions.events, SNAPSHOTS: SNAPSHOT}


def record(settings: Settings, definitions: Definitions) -> None:
    """Keeps the schemas of the definitions for ever.

    Raises:
        DefinitionError: a column changed its type or was added without a default, or a default breaks a rule; none of
            the schemas is kept.
    """
    history = History(settings)
    newest = schemas(definitions)
    for topic, schema in newest.items():
        check_defaults(topic, schema)
        for older in _kept(history, topic):
            _check_evolution(topic, older, schema)
    for topic, schema in newest.items():
        history.record(event_kind(topic), fingerprint(schema).hex(), json.dumps(schema))


def known(settings: Settings, topic: str) -> list[Schema]:
    """Every schema that was ever used for a topic, newest last."""
    return _kept(History(settings), topic)


def readable(settings: Settings) -> dict[str, frozenset[str]]:
    """Topic to the ids (fingerprints, hex) of the schemas that the running stream jobs can decode."""
    engine = create_tables(settings.ledger_url, _meta)
    query = select(READABLE.c.topic, READABLE.c.id).where(READABLE.c.project == settings.project)
    found: dict[str, set[str]] = {}
    with engine.connect() as connection:
        for topic, identity in connection.execute(query):
            found.setdefault(topic, set()).add(identity)
    return {topic: frozenset(ids) for topic, ids in found.items()}


def mark_readable(settings: Settings, ids: Mapping[str, Iterable[str]]) -> None:
    """Says which schemas the jobs that run now can decode, by topic; what was said before is over."""
    engine = create_tables(settings.ledger_url, _meta)
    wanted = {(topic, identity) for topic, identities in ids.items() for identity in identities}
    with engine.begin() as connection:
        query = select(READABLE.c.topic, READABLE.c.id).where(READABLE.c.project == settings.project)
        before = {(topic, identity) for topic, identity in connection.execute(query)}
        for topic, identity in before - wanted:
            gone = (READABLE.c.project == settings.project) & (READABLE.c.topic == topic) & (READABLE.c.id == identity)
            connection.execute(READABLE.delete().where(gone))
        for topic, identity in sorted(wanted - before):
            connection.execute(READABLE.insert().values(project=settings.project, topic=topic, id=identity))


def writing(settings: Settings, definitions: Definitions, topic: str) -> Schema:
    """The schema that a producer encodes the events of a topic with now.

    The newest one when the running jobs can decode it, or when none has ever run for this topic; else the newest of
    those they can decode, until they have been submitted anew.

    Raises:
        DefinitionError: the definitions have no such topic, or a schema that the topic cannot change to.
    """
    if topic not in schemas(definitions):
        raise DefinitionError(
            f"topic {topic!r} is no event source of the definitions, which have {', '.join(definitions.events)}: "
            "declare it in feature_repo/sources.py and run `feast apply`"
        )
    record(settings, definitions)
    newest, ids = schemas(definitions)[topic], readable(settings).get(topic, frozenset())
    if not ids or fingerprint(newest).hex() in ids:
        return newest
    decodable = [s for s in known(settings, topic) if fingerprint(s).hex() in ids]
    return decodable[-1] if decodable else newest


def _kept(history: History, topic: str) -> list[Schema]:
    return [json.loads(entry.body) for entry in history.entries(event_kind(topic))]


def _check_evolution(topic: str, older: Schema, newer: Schema) -> None:
    before, after, defaults = column_types(older), column_types(newer), column_defaults(newer)
    for name, kind in after.items():
        if name in before and before[name] != kind:
            raise DefinitionError(
                f"topic {topic!r}: column {name!r} was {before[name]} and cannot become {kind}, because events of the "
                f"older type stay in Kafka: add a column of another name with a default"
            )
        if name not in before and name not in defaults:
            raise DefinitionError(
                f"topic {topic!r}: column {name!r} ({kind}) is not in every older event: give it a default"
            )
