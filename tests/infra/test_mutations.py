"""The tests of the modules would notice: each mistake below, made in a copy, lets them fail for its own reason."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.trees import copied, terraform


class Mistake(NamedTuple):
    """In `file`, `right` becomes `wrong`; then the tests of `tests` say `reason`."""

    file: str
    right: str
    wrong: str
    tests: str
    reason: str


ANYBODY = 'cidr_ipv4                    = "0.0.0.0/0"'
NAMED = "referenced_security_group_id = each.value"
MISTAKES = {
    "public bucket": Mistake(
        "lake/main.tf",
        "restrict_public_buckets = true",
        "restrict_public_buckets = false",
        "modules/lake",
        "a public access block lets something through",
    ),
    "bucket without block": Mistake(
        "lake/main.tf",
        "  for_each                = local.buckets\n",
        "  for_each                = local.data\n",
        "modules/lake",
        "a bucket has no public access block",
    ),
    "bucket for everybody": Mistake(
        "lake/main.tf",
        'Principal = { Service = ["logging.s3.amazonaws.com", "delivery.logs.amazonaws.com"] }',
        'Principal = "*"',
        "modules/lake",
        "a bucket policy allows everybody something",
    ),
    "bucket without TLS": Mistake(
        "lake/main.tf",
        '"aws:SecureTransport" = "false"',
        '"aws:SecureTransport" = "true"',
        "modules/lake",
        "without TLS",
    ),
    "open brokers": Mistake("kafka/main.tf", NAMED, ANYBODY, "modules/kafka", "others than the named programs"),
    "open Valkey": Mistake("online_store/valkey.tf", NAMED, ANYBODY, "modules/online_store", "opens an address range"),
    "open database": Mistake("registry/main.tf", NAMED, ANYBODY, "modules/registry", "opens an address range"),
    "open programs": Mistake(
        "network/groups.tf",
        "referenced_security_group_id = aws_security_group.program[each.key].id",
        ANYBODY,
        "modules/network",
        "takes connections from addresses",
    ),
    "Kafka in the clear": Mistake(
        "kafka/main.tf",
        'client_broker = "TLS"',
        'client_broker = "TLS_PLAINTEXT"',
        "modules/kafka",
        "clients may talk to brokers without TLS",
    ),
    "Valkey in the clear": Mistake(
        "online_store/valkey.tf",
        'transit_encryption_mode    = "required"',
        'transit_encryption_mode    = "preferred"',
        "modules/online_store",
        "Valkey may be asked without TLS",
    ),
    "missing table": Mistake(
        "online_store/dynamodb.tf",
        "= var.tables\n",
        '= { for n, t in var.tables : n => t if t.view != "user_profile" }\n',
        "modules/online_store",
        "a table of the plan is missing",
    ),
    "missing table in a deployment": Mistake(
        "platform/main.tf",
        "= var.plan.tables\n",
        "= { for n, t in var.plan.tables : n => t if n != keys(var.plan.tables)[0] }\n",
        "environments/prod",
        "a table of the plan is missing",
    ),
    "missing topic in a deployment": Mistake(
        "platform/main.tf",
        "= var.plan.topics\n",
        '= { for n, t in var.plan.topics : n => t if t.kind != "dead" }\n',
        "environments/prod",
        "a topic of the plan is missing",
    ),
    "rows for ever": Mistake(
        "online_store/dynamodb.tf",
        "enabled        = true\n    attribute_name",
        "enabled        = false\n    attribute_name",
        "modules/online_store",
        "keeps what is too old for ever",
    ),
    "no way back": Mistake(
        "online_store/dynamodb.tf",
        "point_in_time_recovery {\n    enabled = true",
        "point_in_time_recovery {\n    enabled = false",
        "modules/online_store",
        "cannot be restored to a point in time",
    ),
    "a server that reads the lake": Mistake(
        "iam/programs.tf",
        'writes = ["events"], tables = "read"',
        'writes = ["events"], lake_reads = ["events"], tables = "read"',
        "modules/iam",
        "a program reads objects of another",
    ),
    "a writer that reads the tables": Mistake(
        "iam/programs.tf",
        'writes = ["dead"], redis = "writer"',
        'writes = ["dead"], tables = "read", redis = "writer"',
        "modules/iam",
        "others than the server and the batch jobs read the tables",
    ),
    "a right for everything": Mistake(
        "iam/policies.tf",
        '"arn:aws:dynamodb:${local.here}:table/${table}"]',
        '"*"]',
        "modules/iam",
        "a right holds for everything of a kind",
    ),
    "public Kubernetes": Mistake(
        "serving/main.tf",
        "endpoint_public_access  = false",
        "endpoint_public_access  = true",
        "modules/serving",
        "Kubernetes' API has a public address",
    ),
    "public database": Mistake(
        "registry/main.tf",
        "= false\n  ca_cert_identifier",
        "= true\n  ca_cert_identifier",
        "modules/registry",
        "the database has a public address",
    ),
    "public containers": Mistake(
        "schedules/main.tf",
        "assign_public_ip = false",
        "assign_public_ip = true",
        "modules/schedules",
        "a container has a public address",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_noticed(tmp_path: Path, plan: str, mistake: Mistake) -> None:
    tree = copied(tmp_path, plan)
    file = tree / "modules" / mistake.file
    text = file.read_text()
    assert text.count(mistake.right) == 1, (
        f"{mistake.right!r} stands {text.count(mistake.right)} times in {mistake.file}"
    )
    file.write_text(text.replace(mistake.right, mistake.wrong))
    done = terraform(tree / mistake.tests, "test", "-no-color")
    assert done.returncode == 1, "nobody noticed"
    assert mistake.reason in done.stderr, done.stdout + done.stderr
