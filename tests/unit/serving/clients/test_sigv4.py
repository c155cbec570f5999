"""Signatures equal botocore's for the same request."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from adfeast.clock import ManualClock
from adfeast.settings import Settings, load_settings
from serving.clients.sigv4 import Credentials, CredentialSource, Signer
from serving.loops import Loop

MOMENT = datetime(2026, 11, 23, 14, 30, 5, tzinfo=UTC)
HOST = "dynamodb.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("token", [None, "a token"])
def test_equals_botocore(token: str | None) -> None:
    settings: Settings = load_settings(aws_access_key_id="AKID", aws_secret_access_key="secret")
    source = CredentialSource(settings)
    source.current = Credentials("AKID", "secret", token)
    signer = Signer(source, "eu-west-1", "dynamodb", HOST)
    for body in (b"{}", b'{"more": 1}'):
        headers = signer.headers("Some.Target", body, MOMENT)
        request = AWSRequest("POST", f"https://{HOST}/", {"X-Amz-Target": "Some.Target", "Host": HOST}, body)
        with patch("botocore.auth.get_current_datetime", return_value=MOMENT.replace(tzinfo=None)):
            SigV4Auth(BotoCredentials("AKID", "secret", token), "dynamodb", "eu-west-1").add_auth(request)
        assert headers["authorization"] == request.headers["Authorization"]


def test_keys_outlive_a_refresh_that_fails_and_are_renewed_by_the_next() -> None:
    class Found:
        def __init__(self) -> None:
            self.answers: list[Exception | str] = ["one", OSError("no metadata service"), "two"]

        def get_frozen_credentials(self) -> BotoCredentials:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return BotoCredentials(answer, "secret", "token")

    async def run() -> list[str]:
        loop, used = Loop("credentials", source.renew, 0.0, ManualClock(0)), [source.current.access_key]
        for _ in range(2):
            await loop.once()
            used.append(source.current.access_key)
        assert loop.failures == 1
        return used

    with patch("botocore.session.Session.get_credentials", return_value=Found()):
        source = CredentialSource(load_settings(aws_access_key_id=None, aws_secret_access_key=None))
    assert asyncio.run(run()) == ["one", "one", "two"]
