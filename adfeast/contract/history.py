"""What was ever agreed on, kept by its hash for ever, in the Feast registry's database: log contracts, event schemas,
signatures of models. So any old snapshot, message or model can be read by name, whatever the definitions say today.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text, select
from sqlalchemy.exc import IntegrityError

from adfeast.database import create_tables
from adfeast.settings import Settings

CONTRACT = "contract"  # of a snapshot: see adfeast.contract.signature.Contract
APPLIED = "applied"  # every identity of an apply, as a contract: `adfeast gc` knows by them what was once there
_meta = MetaData()
HISTORY = Table(
    "adfeast_history",
    _meta,
    Column("project", String(80), primary_key=True),
    Column("kind", String(120), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("body", Text, nullable=False),
    Column("first_ms", BigInteger, nullable=False),  # milliseconds since 1970 UTC, when it was recorded
)


@dataclass(frozen=True)
class Entry:
    """Something that was recorded: `body` is JSON text."""

    id: str
    body: str
    first_ms: int


def event_kind(topic: str) -> str:
    """The kind of the schemas of an event topic."""
    return f"event:{topic}"


def layout_kind(view: str) -> str:
    """The kind of the layouts of a stream view's rows."""
    return f"layout:{view}"


class History:
    """The history of a deployment's project."""

    def __init__(self, settings: Settings) -> None:
        self._project = settings.project
        self._engine = create_tables(settings.registry_url, _meta)

    def record(self, kind: str, identity: str, body: str) -> None:
        """Keeps `body` under its id; what is known already is left as it is."""
        known = select(HISTORY.c.id).where(
            HISTORY.c.project == self._project, HISTORY.c.kind == kind, HISTORY.c.id == identity
        )
        with self._engine.connect() as connection:
            if connection.execute(known).first():
                return
        row = {"project": self._project, "kind": kind, "id": identity, "body": body}
        try:
            with self._engine.begin() as connection:
                connection.execute(HISTORY.insert().values(**row, first_ms=time.time_ns() // 1_000_000))
        except IntegrityError:
            return  # somebody else recorded the same at the same time

    def entries(self, kind: str) -> list[Entry]:
        """Everything of a kind, in the order in which it was recorded."""
        query = (
            select(HISTORY.c.id, HISTORY.c.body, HISTORY.c.first_ms)
            .where(HISTORY.c.project == self._project, HISTORY.c.kind == kind)
            .order_by(HISTORY.c.first_ms, HISTORY.c.id)
        )
        with self._engine.connect() as connection:
            return [Entry(*row) for row in connection.execute(query)]
