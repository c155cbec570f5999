"""The record of who was forgotten, when and what that took; it names nobody.

A row a request. The user stands there as a keyed hash: whoever has the key and an id can tell whether that user was
forgotten, and nobody can list who was. What was deleted is counted before it is deleted, so that a run that is killed
leaves a row that says what it had begun.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, replace

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, and_, select

from adfeast.database import create_tables
from adfeast.settings import Settings
from infra.privacy.errors import NoForgetKey

_meta = MetaData()
FORGOTTEN = Table(
    "forgotten",
    _meta,
    Column("project", String(80), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("asked_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("passes", Integer, nullable=False),
    Column("done_ms", BigInteger),
    Column("rows", Text, nullable=False),  # place to rows, JSON
)


@dataclass(frozen=True)
class Request:
    """That a user be forgotten.

    Attributes:
        subject: the user's keyed hash.
        asked_ms: when it was asked for; everything older goes.
        passes: how often it was gone through all places; 0 for one that is not recorded.
        done_ms: when nothing was left that could bring anything back; None while there is.
        rows: place to the rows that were deleted there.
    """

    subject: str
    asked_ms: int
    passes: int
    done_ms: int | None
    rows: dict[str, int]


def subject(settings: Settings, join_key: str, user: str) -> str:
    """The keyed hash of a user.

    Raises:
        NoForgetKey: the settings have no key.
    """
    if settings.forget_key is None:
        raise NoForgetKey(
            "forget_key is not set, by which the record of deletions names users: set it to at least 16 characters "
            "that are kept like a password and never changed, such as forget_key: file:/run/secrets/forget_key"
        )
    said = "\0".join((settings.project, join_key, user)).encode()
    return hmac.new(settings.forget_key.get_secret_value().encode(), said, hashlib.sha256).hexdigest()


class Record:
    """The record of a deployment, in the database of its ledger."""

    def __init__(self, settings: Settings) -> None:
        self._engine, self._project = create_tables(settings.ledger_url, _meta), settings.project

    def newest(self, who: str) -> Request | None:
        """The last request of a user."""
        own = (FORGOTTEN.c.project == self._project) & (FORGOTTEN.c.subject == who)
        query = select(FORGOTTEN).where(own).order_by(FORGOTTEN.c.asked_ms.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Request(row.subject, row.asked_ms, row.passes, row.done_ms, json.loads(row.rows))

    def begin(self, request: Request) -> Request:
        """Records another pass."""
        passed = replace(request, passes=request.passes + 1)
        if request.passes:
            self._change(passed, passes=passed.passes)
        else:
            values = {"subject": passed.subject, "asked_ms": passed.asked_ms, "passes": 1, "rows": "{}"}
            with self._engine.begin() as connection:
                connection.execute(FORGOTTEN.insert().values(project=self._project, **values))
        return passed

    def add(self, request: Request, place: str, rows: int) -> Request:
        """Records rows that are about to be deleted."""
        counted = replace(request, rows=request.rows | {place: request.rows.get(place, 0) + rows})
        self._change(counted, rows=json.dumps(counted.rows))
        return counted

    def end(self, request: Request, now_ms: int) -> Request:
        """Records that it is done."""
        self._change(request, done_ms=now_ms)
        return replace(request, done_ms=now_ms)

    def _change(self, request: Request, **values: object) -> None:
        own = and_(
            FORGOTTEN.c.project == self._project,
            FORGOTTEN.c.subject == request.subject,
            FORGOTTEN.c.asked_ms == request.asked_ms,
        )
        with self._engine.begin() as connection:
            connection.execute(FORGOTTEN.update().where(own).values(**values))
