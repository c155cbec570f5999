"""DynamoDB Local, on disk: slower than in memory, but a restart keeps what was materialized."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.errors import NotReady
from infra.local.platform.home import Home, jars, java, log4j
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports

REGION = "us-east-1"
# The local servers accept any key; a program of the loop must not find a real one instead.
KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


def local_client(service: str, endpoint: str) -> Any:
    """A boto3 client of a local AWS service that gives up quickly."""
    quick = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1}, proxies={})
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, config=quick, **KEYS)


def dynamodb(home: Home, ports: Ports) -> Part:
    """Serves every table from one file, whatever the region and the keys of the caller."""
    port, data, folder = ports.get("dynamodb"), home.data("dynamodb"), jars("dynamodb")
    endpoint = f"http://127.0.0.1:{port}"

    def check() -> None:
        try:
            local_client("dynamodb", endpoint).list_tables()
        except (BotoCoreError, ClientError) as error:
            raise NotReady(str(error)) from error

    return Part(
        name="dynamodb",
        command=[
            *(java(), "-Xmx1g", f"-Djava.library.path={folder}", log4j(home), "-cp", f"{folder}/*"),
            *("software.amazon.dynamodb.services.local.main.ServerRunner", "-dbPath", str(data), "-sharedDb"),
            *("-port", str(port), "-disableTelemetry"),
        ],
        check=check,
        prepare=lambda: data.mkdir(parents=True, exist_ok=True),
        address=endpoint,
        settings={"dynamodb_endpoint": endpoint, "aws_region": REGION, **KEYS},
    )
