"""Who serves with what, now: prediction servers report themselves, deployments say which models Triton has loaded.

`feast apply`, `adfeast gc` and the unloading of models ask here before they take something away.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text, select

from adfeast.contract.signature import Signature
from adfeast.database import create_tables
from adfeast.settings import Settings

ALIVE_MS = 15_000  # a server that has not reported for so long is gone
_meta = MetaData()
SERVERS = Table(
    "servers",
    _meta,
    Column("project", String(80), primary_key=True),
    Column("server", String(200), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("report", Text, nullable=False),
)
LOADED = Table(
    "loaded_models",
    _meta,
    Column("project", String(80), primary_key=True),
    Column("name", String(120), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("flavour", String(40), nullable=False),
    Column("signature", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)


@dataclass(frozen=True)
class Report:
    """What a prediction server says of itself.

    Attributes:
        server: its name, unique in the deployment.
        contract: hash of the contract that its snapshots have.
        answers: Triton name of the model it answers with, empty while there is none.
        holds: Triton names of the models whose inputs it reads.
        problems: why the newest definitions or a model are not used.
        acknowledged, lost: snapshots since its start.
        refused: events since its start that callers had to correct.
        state: `starting`, `ready` or `degraded`.
        away: what does not answer, each with the reason.
        rungs: rung (adfeast.contract.rungs) to the answers of the last minute that came from it.
    """

    server: str
    address: str
    pid: int
    contract: str
    answers: str
    holds: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    acknowledged: int = 0
    lost: int = 0
    refused: int = 0
    state: str = "unspecified"
    away: tuple[str, ...] = ()
    rungs: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedModel:
    """A model that Triton has loaded or is about to load; `name` is its name there."""

    name: str
    version: int
    flavour: str
    signature: Signature
    at_ms: int


def report(settings: Settings, said: Report, now_ms: int) -> None:
    """Writes a server's report over its last one."""
    engine = create_tables(settings.ledger_url, _meta)
    key = (SERVERS.c.project == settings.project) & (SERVERS.c.server == said.server)
    values = {"at_ms": now_ms, "report": json.dumps(asdict(said))}
    with engine.begin() as connection:
        if not connection.execute(SERVERS.update().where(key).values(**values)).rowcount:
            connection.execute(SERVERS.insert().values(project=settings.project, server=said.server, **values))


def withdraw(settings: Settings, server: str) -> None:
    """Forgets a server that ends."""
    engine = create_tables(settings.ledger_url, _meta)
    with engine.begin() as connection:
        connection.execute(SERVERS.delete().where(SERVERS.c.project == settings.project, SERVERS.c.server == server))


def servers(settings: Settings, now_ms: int, alive_ms: int = ALIVE_MS) -> list[Report]:
    """The reports of the servers that are alive, by name."""
    engine = create_tables(settings.ledger_url, _meta)
    query = (
        select(SERVERS.c.report)
        .where(SERVERS.c.project == settings.project, SERVERS.c.at_ms >= now_ms - alive_ms)
        .order_by(SERVERS.c.server)
    )
    with engine.connect() as connection:
        rows = [json.loads(text) for (text,) in connection.execute(query)]
    return [_report(row) for row in rows]


def _report(stored: dict[str, Any]) -> Report:
    """What was written; JSON has no tuples."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    return Report(**values)


def set_loaded(settings: Settings, model: LoadedModel) -> None:
    """Says that a model is loaded; before it is, so that nothing it reads is taken away meanwhile."""
    engine = create_tables(settings.ledger_url, _meta)
    key = (LOADED.c.project == settings.project) & (LOADED.c.name == model.name)
    values = {
        "version": model.version,
        "flavour": model.flavour,
        "signature": model.signature.to_json(),
        "at_ms": model.at_ms,
    }
    with engine.begin() as connection:
        if not connection.execute(LOADED.update().where(key).values(**values)).rowcount:
            connection.execute(LOADED.insert().values(project=settings.project, name=model.name, **values))


def forget_loaded(settings: Settings, name: str) -> None:
    """Says that a model is unloaded: after it was."""
    engine = create_tables(settings.ledger_url, _meta)
    with engine.begin() as connection:
        connection.execute(LOADED.delete().where(LOADED.c.project == settings.project, LOADED.c.name == name))


def loaded_models(settings: Settings) -> list[LoadedModel]:
    """Every model that is loaded, by name."""
    engine = create_tables(settings.ledger_url, _meta)
    columns = (LOADED.c.name, LOADED.c.version, LOADED.c.flavour, LOADED.c.signature, LOADED.c.at_ms)
    query = select(*columns).where(LOADED.c.project == settings.project).order_by(LOADED.c.name)
    with engine.connect() as connection:
        return [
            LoadedModel(name, int(version), flavour, Signature.from_json(text), int(at_ms))
            for name, version, flavour, text, at_ms in connection.execute(query)
        ]
