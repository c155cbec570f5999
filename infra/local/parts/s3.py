"""An S3 endpoint for the lake: moto's server. It holds everything in memory, so it suits tests, not a long demo."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.errors import NotReady
from infra.local.parts.dynamodb import KEYS, REGION, local_client
from infra.local.platform.home import Home, program
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports

BUCKET = "adfeast-lake"


def s3(home: Home, ports: Ports) -> Part:
    """With it, the lake is a prefix of one bucket."""
    port = ports.get("s3")
    endpoint = f"http://127.0.0.1:{port}"

    def check() -> None:
        try:
            local_client("s3", endpoint).list_buckets()
        except (BotoCoreError, ClientError) as error:
            raise NotReady(str(error)) from error

    return Part(
        name="s3",
        command=[program("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        check=check,
        setup=lambda: local_client("s3", endpoint).create_bucket(Bucket=BUCKET),
        address=endpoint,
        settings={"lake": f"s3://{BUCKET}/lake", "s3_endpoint": endpoint, "aws_region": REGION, **KEYS},
    )
