"""SQL databases that programs of one deployment share: the Feast registry's and the ledger's.

SQLite on one machine, anything SQLAlchemy speaks elsewhere. Programs open the same file at the same time, so SQLite
waits for a lock instead of failing, and readers do not wait for a writer.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from adfeast.secret import without_passwords

log = logging.getLogger(__name__)
LOCK_WAIT_S = 30.0


@lru_cache
def engine(url: str) -> Engine:
    """The process' engine of a database; a missing folder of a SQLite file is made."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    made = create_engine(url, connect_args={"timeout": LOCK_WAIT_S})

    @event.listens_for(made, "connect")
    def _readers_do_not_wait(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")

    return made


@lru_cache
def create_tables(url: str, tables: MetaData) -> Engine:
    """The engine of a database that has these tables; two processes may ask at the same time."""
    made = engine(url)
    try:
        tables.create_all(made)
    except DBAPIError as error:  # the other one was quicker, for which each database has an error of its own
        log.debug("%s: %s", without_passwords(url), error)
        tables.create_all(made)
    return made
