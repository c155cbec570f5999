"""AWS Signature Version 4 for one service, with the day's signing key kept.

Source: AWS Identity and Access Management User Guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adfeast.errors import SettingsError
from adfeast.settings import Settings

RENEW_S = 60.0


@dataclass(frozen=True)
class Credentials:
    """An access key; `token` is set for those of a role."""

    access_key: str
    secret_key: str
    token: str | None = None


class CredentialSource:
    """The keys of the settings, else those botocore finds (environment, profile, role), renewed before they expire."""

    def __init__(self, settings: Settings) -> None:
        self._found: Any = None
        if settings.aws_access_key_id and settings.aws_secret_access_key:
            self.current = Credentials(settings.aws_access_key_id, settings.aws_secret_access_key)
            return
        from botocore.session import get_session

        self._found = get_session().get_credentials()
        if self._found is None:
            raise SettingsError(
                "no AWS credentials for DynamoDB: set aws_access_key_id and aws_secret_access_key in the settings "
                "(any value for DynamoDB Local), or give this machine a role"
            )
        self.current = self._freeze()

    def _freeze(self) -> Credentials:
        frozen = self._found.get_frozen_credentials()
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    async def renew(self) -> None:
        """Asks for a role's keys, which botocore renews before they expire; in a thread, never in a request.

        Raises:
            Exception: whatever botocore says; the keys stay what they are.
        """
        if self._found is not None:
            self.current = await asyncio.to_thread(self._freeze)


class Signer:
    """Signs POSTs of JSON to `/` of one host."""

    def __init__(self, credentials: CredentialSource, region: str, service: str, host: str) -> None:
        self._credentials, self._region, self._service, self._host = credentials, region, service, host
        self._key: tuple[str, Credentials, bytes] = ("", Credentials("", ""), b"")

    def headers(self, target: str, body: bytes, now: datetime | None = None) -> dict[str, str]:
        """The headers to send with `body`, `host` among them."""
        who = self._credentials.current
        stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        day = stamp[:8]
        signed = {"host": self._host, "x-amz-date": stamp, "x-amz-target": target}
        if who.token:
            signed["x-amz-security-token"] = who.token
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._signing_key(day, who), text.encode(), hashlib.sha256).hexdigest()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={who.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return signed

    def _signing_key(self, day: str, who: Credentials) -> bytes:
        if self._key[:2] != (day, who):
            key = f"AWS4{who.secret_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._key = (day, who, key)
        return self._key[2]
