"""The run ledger: what was made of which interval, and who is at work on one.

One row for a job, what it makes (subject), how it makes it (digest) and the end of an interval; unique, so that two
processes cannot both claim one, and a changed query is another row. A claim is a lease that its holder renews while it
works; it is free again when the lease has run out, or at once when its holder was a process of this host that is gone.
Leases are fenced: whoever publishes asks `Claim.check` first, and a holder who has lost its claim ends with an error.
Whoever comes back after a crash redoes the interval: jobs replace their output.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psutil
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, and_, or_, select
from sqlalchemy.exc import IntegrityError

from adfeast.clock import Clock, to_datetime, to_ms
from adfeast.database import create_tables
from adfeast.errors import AdfeastError
from adfeast.settings import Settings

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=60)
POLL_S = 0.2
_LEASES = "lease"  # the job under which leases without an interval stand
LAKE = "lake"  # the lease of whoever changes files of the lake that others have made
_meta = MetaData()
RUNS = Table(
    "ledger_runs",
    _meta,
    Column("job", String(80), primary_key=True),
    Column("subject", String(200), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("interval_end", BigInteger, primary_key=True, autoincrement=False),  # times: milliseconds since 1970 UTC
    Column("interval_start", BigInteger, nullable=False),
    Column("status", String(10), nullable=False),  # running, done, failed, skipped
    Column("owner", String(200), nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("rows", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("finished", BigInteger),
    Column("error", String(2000)),  # of a failed one; of a skipped one the reason
    Column("facts", Text, nullable=False),  # what else the run counted, JSON
)


class LedgerError(AdfeastError):
    """The ledger does not allow what was asked."""


class RunInProgress(LedgerError):
    """Another process is at work on the same interval, or holds the same lease."""

    later = True


class LeaseLost(LedgerError):
    """Somebody else has taken over meanwhile: nothing may be published any more."""

    later = True


@dataclass(frozen=True)
class Run:
    """One row of the ledger; times are UTC."""

    job: str
    subject: str
    digest: str
    start: datetime
    end: datetime
    status: str
    rows: int | None
    attempts: int
    started: datetime
    finished: datetime | None
    error: str | None
    facts: dict[str, Any]


@dataclass
class Claim:
    """A claimed interval; whoever works on it says how many rows came of it, and what else it counted."""

    _ledger: Ledger
    _mine: Any
    what: str
    rows: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Call right before anything is published.

        Raises:
            LeaseLost: the claim is somebody else's by now, or its lease has run out.
        """
        self._ledger._check(self._mine, self.what)


class Ledger:
    """The ledger of a deployment, in the SQL database `settings.ledger_url`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._engine = create_tables(settings.ledger_url, _meta)
        self._clock = clock

    def runs(self, job: str | None = None, subject: str | None = None) -> list[Run]:
        """Rows in the order of job, subject and interval; leases are none."""
        query = select(RUNS).where(RUNS.c.job != _LEASES).order_by(RUNS.c.job, RUNS.c.subject, RUNS.c.interval_end)
        if job is not None:
            query = query.where(RUNS.c.job == job)
        if subject is not None:
            query = query.where(RUNS.c.subject == subject)
        with self._engine.connect() as connection:
            return [_run(row) for row in connection.execute(query)]

    def at_work(self) -> list[Run]:
        """The runs that somebody is at work on now; leases are none."""
        now = self._clock.now_ms()
        alive = select(RUNS).where(RUNS.c.job != _LEASES, RUNS.c.status == "running", RUNS.c.lease_until >= now)
        with self._engine.connect() as connection:
            return [_run(row) for row in connection.execute(alive) if not _is_gone(row.owner)]

    @contextmanager
    def claim(
        self,
        job: str,
        subject: str,
        digest: str,
        start: datetime,
        end: datetime,
        *,
        again: bool = False,
        apart: str = "",
    ) -> Iterator[Claim | None]:
        """Claims an interval for the block; None when it is done or skipped already and not asked for `again`.

        An exception of the block marks the run as failed and goes on.

        Args:
            apart: a lease; the run does not begin while somebody holds it. Who takes that lease looks at `at_work`
                afterwards: of the two one notices the other, whoever came first.

        Raises:
            RunInProgress: somebody else is at work on it, or holds the lease `apart`.
            LeaseLost: at the end of the block: somebody else has taken over meanwhile.
        """
        owner, key = _me(), (job, subject, digest, to_ms(end))
        self._require_free(apart, _what(key))  # without a trace in the ledger
        if not self._take(key, to_ms(start), owner, again):
            yield None
            return
        mine = and_(_is(key), RUNS.c.owner == owner, RUNS.c.status == "running")
        stop = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(mine, stop), daemon=True, name=f"lease-{job}-{subject}")
        renewer.start()
        claim = Claim(self, mine, _what(key))
        try:
            self._require_free(apart, claim.what)
            yield claim
        except BaseException as error:
            what = f"{type(error).__name__}: {error}"[:2000]
            self._finish(mine, status="failed", error=what, facts=json.dumps(claim.facts))
            raise
        else:
            changed = self._finish(mine, status="done", rows=claim.rows, error=None, facts=json.dumps(claim.facts))
            if not changed:
                raise LeaseLost(f"{claim.what} was taken over by somebody else before it ended; its result stands")
        finally:
            stop.set()
            renewer.join()

    @contextmanager
    def lease(self, name: str, wait_s: float = 0.0) -> Iterator[Claim]:
        """Holds what only one may do at a time, such as a deploy, for the block.

        Raises:
            RunInProgress: somebody else holds it, and still does after `wait_s`.
        """
        until, epoch = time.monotonic() + wait_s, to_datetime(0)
        while True:
            held = self.claim(_LEASES, name, "", epoch, epoch, again=True)
            try:
                claim = held.__enter__()
                break
            except RunInProgress:
                if time.monotonic() >= until:
                    raise
            time.sleep(POLL_S)
        assert claim is not None
        try:
            yield claim
        except BaseException as error:
            if not held.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            held.__exit__(None, None, None)

    def skip(self, job: str, subject: str, digest: str, start: datetime, end: datetime, reason: str) -> None:
        """Says that an interval will not be made; whoever asks for it again makes it all the same.

        Raises:
            RunInProgress: somebody is at work on it.
        """
        with self.claim(job, subject, digest, start, end, again=True) as claim:
            assert claim is not None
        changed = RUNS.update().where(_is((job, subject, digest, to_ms(end)))).values(status="skipped", error=reason)
        with self._engine.begin() as connection:
            connection.execute(changed)

    def _take(self, key: tuple[str, str, str, int], start: int, owner: str, again: bool) -> bool:
        now = self._clock.now_ms()
        values = {
            "interval_start": start,
            "status": "running",
            "owner": owner,
            "lease_until": now + _ms(LEASE),
            "started": now,
            "finished": None,
            "error": None,
            "facts": "{}",
        }
        job, subject, digest, end = key
        try:
            with self._engine.begin() as connection:
                row = {"job": job, "subject": subject, "digest": digest, "interval_end": end, "attempts": 1}
                connection.execute(RUNS.insert().values(**row, **values))
                return True
        except IntegrityError:
            log.debug("%s is in the ledger already", _what(key))
        with self._engine.begin() as connection:
            found = connection.execute(select(RUNS).where(_is(key))).one()
            over = found.status in ("done", "skipped")
            if over and not again:
                return False
            free = or_(RUNS.c.status.in_(("failed", "done", "skipped")), RUNS.c.lease_until < now)
            if _is_gone(found.owner):
                free = or_(free, RUNS.c.owner == found.owner)
            # Compare and swap: of two that find it free, one changes the row.
            unchanged = and_(
                _is(key),
                RUNS.c.owner == found.owner,
                RUNS.c.started == found.started,
                RUNS.c.status == found.status,
            )
            swap = RUNS.update().where(unchanged, free).values(attempts=RUNS.c.attempts + 1, **values)
            if connection.execute(swap).rowcount:
                if found.status == "running":
                    log.warning("%s is taken over from %s (%s)", _what(key), found.owner, found.status)
                return True
        raise RunInProgress(
            f"{_what(key)} is being run by {found.owner} since {to_datetime(found.started).isoformat()}: "
            "wait for it, or stop it and run again"
        )

    def _require_free(self, lease: str, what: str) -> None:
        if not lease:
            return
        query = select(RUNS.c.owner).where(
            RUNS.c.job == _LEASES,
            RUNS.c.subject == lease,
            RUNS.c.status == "running",
            RUNS.c.lease_until >= self._clock.now_ms(),
        )
        with self._engine.connect() as connection:
            owner = connection.execute(query).scalar()
        if owner is not None and not _is_gone(owner):
            raise RunInProgress(f"{what} cannot begin while {owner} holds {lease!r}: run it again once that is over")

    def _check(self, mine: Any, what: str) -> None:
        query = select(RUNS.c.lease_until).where(mine)
        with self._engine.connect() as connection:
            until = connection.execute(query).scalar()
        if until is None or until < self._clock.now_ms():
            raise LeaseLost(f"{what} was taken over by somebody else, or its lease has run out; nothing was published")

    def _renew(self, mine: Any, stop: threading.Event) -> None:
        while not stop.wait(LEASE.total_seconds() / 4):
            with self._engine.begin() as connection:
                until = self._clock.now_ms() + _ms(LEASE)
                connection.execute(RUNS.update().where(mine).values(lease_until=until))

    def _finish(self, mine: Any, **values: object) -> bool:
        with self._engine.begin() as connection:
            changed = RUNS.update().where(mine).values(finished=self._clock.now_ms(), **values)
            return bool(connection.execute(changed).rowcount)


def _is(key: tuple[str, str, str, int]) -> Any:
    job, subject, digest, end = key
    return and_(RUNS.c.job == job, RUNS.c.subject == subject, RUNS.c.digest == digest, RUNS.c.interval_end == end)


def _what(key: tuple[str, str, str, int]) -> str:
    job, subject, _, end = key
    return f"{subject!r}" if job == _LEASES else f"{job} of {subject!r} until {to_datetime(end).isoformat()}"


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
        subject=r["subject"],
        digest=r["digest"],
        start=to_datetime(r["interval_start"]),
        end=to_datetime(r["interval_end"]),
        status=r["status"],
        rows=r["rows"],
        attempts=r["attempts"],
        started=to_datetime(r["started"]),
        finished=to_datetime(r["finished"]) if r["finished"] else None,
        error=r["error"],
        facts=json.loads(r["facts"]),
    )
