"""Signatures equal botocore's for the same request."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from adfeast.settings import Settings, load_settings
from serving.clients.sigv4 import Credentials, CredentialSource, Signer

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
