"""PostgreSQL for what a deployment shares: Feast's registry, the ledger, MLflow; with a password, and over TLS."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, inspect

from adfeast.clock import SystemClock
from adfeast.contract.history import History
from adfeast.database import create_tables, engine
from adfeast.errors import DefinitionError
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import apply
from adfeast.ledger import Ledger, RunInProgress
from adfeast.settings import Settings
from infra.local.parts.dynamodb import dynamodb
from infra.local.parts.mlflow import mlflow
from infra.local.parts.valkey import valkey
from infra.local.platform.ports import Ports
from registry.versions import register
from tests.cluster.certificates import make_certificates
from tests.cluster.postgres import PASSWORD, Postgres
from tests.cluster.servers import Servers
from training.model import bootstrap

WRONG = "hunter2-hunter2"


@pytest.fixture(scope="module")
def postgres(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Postgres:
    return Postgres(servers, make_certificates(tmp_path_factory.mktemp("ours")))


@pytest.fixture(scope="module")
def settings(servers: Servers, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of a deployment whose definitions are applied to the server."""
    ports = Ports(servers.home.root / "ports", lambda part: False)
    stores = (dynamodb(servers.home, ports), valkey(servers.home, ports))
    found = {"registry_url": postgres.url(), "ledger_url": postgres.url()}
    for part in stores:
        servers.run(part)
        found |= dict(part.settings)
    for part in stores:
        servers.wait(f"{part.name} answers", part.check)
    made = Settings(project="shared", local=tmp_path_factory.mktemp("home"), **found)
    apply(made)
    return made


def test_the_registry_holds_what_a_file_would_hold(settings: Settings, tmp_path: Path) -> None:
    apply(settings)  # a second time changes nothing
    urls = {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("registry_url", "ledger_url")}
    in_file = settings.model_copy(update=urls)
    apply(in_file)
    assert load_definitions(settings) == load_definitions(in_file)
    contract = load_definitions(settings).contract(settings.feature_service)
    for _ in range(2):
        History(settings).record("contract", contract.hash, contract.to_json())


def test_what_starts_at_the_same_time_makes_its_tables_once(postgres: Postgres) -> None:
    tables = MetaData()
    for n in range(20):
        Table(f"shared_{n}", tables, Column("key", Integer, primary_key=True))
    urls = [f"{postgres.url()}&application_name=program_{n}" for n in range(4)]
    with ThreadPoolExecutor(len(urls)) as pool:
        engines = list(pool.map(create_tables, urls, [tables] * len(urls)))
    assert len(set(map(id, engines))) == len(urls)
    assert set(inspect(engines[0]).get_table_names()) >= tables.tables.keys()


def test_of_two_programs_one_holds_a_lease(settings: Settings) -> None:
    ledgers = [Ledger(settings, SystemClock()) for _ in range(2)]
    with ledgers[0].lease("deploy"), pytest.raises(RunInProgress), ledgers[1].lease("deploy"):
        pass
    with ledgers[1].lease("deploy"):
        pass


def test_a_registry_that_is_not_there_or_lets_nobody_in_is_named_without_its_password(
    settings: Settings, postgres: Postgres
) -> None:
    wrong = settings.model_copy(update={"registry_url": postgres.url(password=WRONG)})
    with pytest.raises(DefinitionError, match=r"registry_url=.* cannot be opened: .*authentication failed") as refused:
        load_definitions(wrong)
    assert WRONG not in str(refused.value)
    with engine(settings.registry_url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CREATE DATABASE empty")
    with pytest.raises(DefinitionError, match=r"no Feast registry at .*: run `feast apply`") as none:
        load_definitions(settings.model_copy(update={"registry_url": postgres.url("empty")}))
    assert PASSWORD not in str(none.value)


def test_a_server_of_another_authority_is_not_trusted(settings: Settings, postgres: Postgres, tmp_path: Path) -> None:
    if not postgres.tls:
        pytest.skip("the PostgreSQL of the wheel is built without TLS: `apt-get install postgresql`")
    theirs = make_certificates(tmp_path / "theirs").ca
    with pytest.raises(DefinitionError, match="certificate verify failed"):
        load_definitions(settings.model_copy(update={"registry_url": postgres.url(ca=theirs)}))


def test_versions_of_models_outlive_the_server_of_mlflow(
    settings: Settings, postgres: Postgres, servers: Servers, tmp_path: Path
) -> None:
    with engine(settings.registry_url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CREATE DATABASE mlflow")
    part = mlflow(servers.home, Ports(servers.home.root / "ports", lambda name: False))
    place = part.command.index("--backend-store-uri") + 1
    part = replace(part, command=[*part.command[:place], postgres.url("mlflow"), *part.command[place + 1 :]])
    own = settings.model_copy(update=dict(part.settings))
    artifact = bootstrap.run(own, 0.01, tmp_path / "model").path
    for attempt in ("first", "second"):
        servers.run(part)
        servers.wait(f"mlflow answers for the {attempt} time", part.check)
        assert register(own, artifact) == 1
        servers.kill("mlflow")
