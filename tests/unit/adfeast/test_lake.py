"""What lies in a lake is a folder for those who know folders only."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from adfeast.lake import as_folder
from adfeast.settings import Settings

KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
FINISHED = {"part-0.parquet": b"0", "date=2019-11-28/part-1.parquet": b"1"}
UNFINISHED = {"_staging/part-2.parquet": b"2", ".part-3.parquet": b"3"}


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    with as_folder(Settings(), str(tmp_path)) as folder:
        assert folder == tmp_path


@pytest.mark.slow
def test_the_finished_files_of_a_bucket_are_copied_for_as_long_as_they_are_needed() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        settings = Settings(s3_endpoint=f"http://{host}:{port}", **KEYS)
        s3 = boto3.client("s3", endpoint_url=settings.s3_endpoint, region_name=settings.aws_region, **KEYS)
        s3.create_bucket(Bucket="lake")
        for name, content in (FINISHED | UNFINISHED).items():
            s3.put_object(Bucket="lake", Key=f"sets/one/{name}", Body=content)
        with as_folder(settings, "s3://lake/sets/one") as folder:
            found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        assert found == FINISHED
        assert not folder.exists()
    finally:
        server.stop()
