"""The run ledger: which interval of which job is done, and who is at work on one.

One row per job and interval end (unique, so two processes cannot both claim one). A claim is a lease that its holder
renews while it works; it is free again when the lease has run out, or at once when its holder was a process of this
host that is gone. Whoever comes back after a crash redoes the interval: jobs replace their output.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import psutil
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, and_, create_engine, or_, select
from sqlalchemy.exc import IntegrityError, OperationalError

from adfeast.clock import Clock, to_datetime, to_ms
from adfeast.settings import Settings
from training.errors import RunInProgress

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=60)
_meta = MetaData()
RUNS = Table(
    "runs",
    _meta,
    Column("job", String(80), primary_key=True),
    Column("interval_end", BigInteger, primary_key=True, autoincrement=False),  # times: milliseconds since 1970 UTC
    Column("interval_start", BigInteger, nullable=False),
    Column("status", String(10), nullable=False),  # running, done, failed
    Column("owner", String(200), nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("rows", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("finished", BigInteger),
    Column("error", String(2000)),
)


@dataclass(frozen=True)
class Run:
    """One row of the ledger; times are UTC."""

    job: str
    start: datetime
    end: datetime
    status: str
    rows: int | None
    attempts: int
    started: datetime
    finished: datetime | None
    error: str | None


@dataclass
class Claim:
    """A claimed interval; whoever works on it says how many rows came of it."""

    rows: int = 0


class Ledger:
    """The ledger of a deployment, in the SQL database `settings.ledger_url`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._engine = create_engine(settings.ledger_url)
        self._clock = clock
        with self._engine.connect() as connection:
            try:
                _meta.create_all(connection)
            except OperationalError:  # two processes make the table at the same time
                connection.rollback()
                _meta.create_all(connection)
            connection.commit()

    def close(self) -> None:
        """Gives up the database connections."""
        self._engine.dispose()

    def runs(self, job: str | None = None) -> list[Run]:
        """Rows in the order of job and interval."""
        query = select(RUNS).order_by(RUNS.c.job, RUNS.c.interval_end)
        if job is not None:
            query = query.where(RUNS.c.job == job)
        with self._engine.connect() as connection:
            return [_run(row) for row in connection.execute(query)]

    @contextmanager
    def claim(self, job: str, start: datetime, end: datetime) -> Iterator[Claim | None]:
        """Claims an interval for the block; None when it is done already.

        An exception of the block marks the run as failed and goes on.

        Raises:
            RunInProgress: somebody else is at work on it.
        """
        owner = _me()
        if not self._take(job, start, end, owner):
            yield None
            return
        mine = and_(RUNS.c.job == job, RUNS.c.interval_end == to_ms(end), RUNS.c.owner == owner)
        stop = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(mine, stop), daemon=True, name=f"lease-{job}")
        renewer.start()
        claim = Claim()
        try:
            yield claim
        except BaseException as error:
            self._finish(mine, status="failed", error=f"{type(error).__name__}: {error}"[:2000])
            raise
        else:
            self._finish(mine, status="done", rows=claim.rows, error=None)
        finally:
            stop.set()
            renewer.join()

    def _take(self, job: str, start: datetime, end: datetime, owner: str) -> bool:
        now = self._clock.now_ms()
        values = {
            "interval_start": to_ms(start),
            "status": "running",
            "owner": owner,
            "lease_until": now + _ms(LEASE),
            "started": now,
            "finished": None,
            "error": None,
        }
        key = and_(RUNS.c.job == job, RUNS.c.interval_end == to_ms(end))
        try:
            with self._engine.begin() as connection:
                connection.execute(RUNS.insert().values(job=job, interval_end=to_ms(end), attempts=1, **values))
                return True
        except IntegrityError:
            log.debug("%s of %s is in the ledger already", job, end)
        with self._engine.begin() as connection:
            found = connection.execute(select(RUNS).where(key)).one()
            if found.status == "done":
                return False
            free = or_(RUNS.c.status == "failed", RUNS.c.lease_until < now)
            if _is_gone(found.owner):
                free = or_(free, RUNS.c.owner == found.owner)
            # Compare and swap: of two that find it free, one changes the row.
            unchanged = and_(key, RUNS.c.owner == found.owner, RUNS.c.started == found.started, RUNS.c.status != "done")
            swap = RUNS.update().where(unchanged, free).values(attempts=RUNS.c.attempts + 1, **values)
            if connection.execute(swap).rowcount:
                log.warning("%s of %s is taken over from %s (%s)", job, end, found.owner, found.status)
                return True
        raise RunInProgress(
            f"{job} of the interval until {end.isoformat()} is being run by {found.owner} "
            f"since {to_datetime(found.started).isoformat()}: wait for it, or stop it and run again"
        )

    def _renew(self, mine: object, stop: threading.Event) -> None:
        while not stop.wait(LEASE.total_seconds() / 4):
            with self._engine.begin() as connection:
                until = self._clock.now_ms() + _ms(LEASE)
                connection.execute(RUNS.update().where(mine).values(lease_until=until))  # type: ignore[arg-type]

    def _finish(self, mine: object, **values: object) -> None:
        with self._engine.begin() as connection:
            changed = RUNS.update().where(mine).values(finished=self._clock.now_ms(), **values)  # type: ignore[arg-type]
            connection.execute(changed)


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def _me() -> str:
    # Ends with a token of its own a claim, so that a holder who comes back too late changes nothing.
    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}:{uuid.uuid4().hex}"


def _is_gone(owner: str) -> bool:
    host, pid, created, _ = owner.rsplit(":", 3)
    if host != socket.gethostname() or int(pid) == os.getpid():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != created
    except psutil.NoSuchProcess:
        return True


def _run(row: object) -> Run:
    r = row._mapping  # type: ignore[attr-defined]
    return Run(
        job=r["job"],
        start=to_datetime(r["interval_start"]),
        end=to_datetime(r["interval_end"]),
        status=r["status"],
        rows=r["rows"],
        attempts=r["attempts"],
        started=to_datetime(r["started"]),
        finished=to_datetime(r["finished"]) if r["finished"] else None,
        error=r["error"],
    )
