"""The jobs log in as the settings say, and no plan holds the password."""

from __future__ import annotations

import json
from pathlib import Path

from adfeast.settings import Settings
from streaming.jobs.login import kafka_options, with_password
from streaming.jobs.sql import statements
from streaming.names import ARCHIVE
from streaming.plan import Plan, make_plan
from tests.unit.streaming.jobs.test_sql import definitions

PASSWORD = 'it\'s a "pass\\word"'


def a_plan(folder: Path, **given: object) -> Plan:
    return make_plan(definitions(), Settings(local=folder, registry_url=f"sqlite:///{folder}/registry.db", **given))  # type: ignore[arg-type]


def secured(folder: Path) -> Plan:
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    login = {"kafka_security": "SASL_SSL", "kafka_username": "us", "kafka_password": PASSWORD}
    return a_plan(folder, tls_ca=folder / "ca.pem", **login)


def test_every_table_of_kafka_has_the_login_and_the_plan_has_no_password(tmp_path: Path) -> None:
    plan = secured(tmp_path)
    assert PASSWORD not in json.dumps(plan)
    opened = with_password(plan, PASSWORD)
    for job in plan["jobs"]:
        for planned, password in ((plan, "{kafka_password}"), (opened, r"it\'s a \"pass\\word\"".replace(r"\'", "''"))):
            tables = [s for s in statements(planned, job)[0] if "'connector' = 'kafka'" in s]
            assert tables
            for table in tables:
                assert "'properties.security.protocol' = 'SASL_SSL'" in table
                assert f'ScramLoginModule required username="us" password="{password}";' in table
                assert "'properties.ssl.truststore.certificates' = '-----BEGIN CERTIFICATE-----'" in table


def test_where_all_may_come_in_nothing_is_said_and_no_job_is_restarted(tmp_path: Path) -> None:
    plain = a_plan(tmp_path)
    assert plain["kafka_options"] == {}
    assert not any("security" in statement for statement in statements(plain, ARCHIVE)[0])
    before = {name: value for name, value in plain.items() if name != "kafka_options"}
    assert statements(with_password(before, ""), ARCHIVE) == statements(plain, ARCHIVE), "a plan that was kept"


def test_a_changed_login_restarts_the_jobs_and_builds_nothing_again(tmp_path: Path) -> None:
    plain, login = a_plan(tmp_path)["jobs"], secured(tmp_path)["jobs"]
    for job, spec in plain.items():
        assert spec["digest"] == login[job]["digest"]
        assert spec["tuning"] != login[job]["tuning"]


def test_tls_without_a_login_has_none_and_plain_is_another_module() -> None:
    assert kafka_options("SSL", "PLAIN", "", "").keys() == {"security.protocol"}
    plain = kafka_options("SASL_PLAINTEXT", "PLAIN", "us", "ignored")
    assert "plain.PlainLoginModule required" in plain["sasl.jaas.config"]
    assert "ssl.truststore.certificates" not in plain
