"""The DynamoDB tier: the rows of all batch views in as few BatchGetItem calls as the service allows, at once.

Feast never looks at `UnprocessedKeys`, so a throttled row would be a missing one; here it is asked for again. A table
that is not there (a view applied a moment ago) is a table without rows: one such table refuses the whole call, so the
others are asked without it, and it is looked for again a second later.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Sequence
from typing import Any

from adfeast.settings import Settings
from serving.clients.http import HttpError, HttpPool, Response
from serving.clients.sigv4 import CredentialSource, Signer
from serving.errors import StoreUnavailable

log = logging.getLogger(__name__)

Items = dict[str, dict[str, Any]]  # table, entity id, item as JSON
KEYS_A_CALL = 100  # the service's limit
CONNECTIONS = 16  # the largest request asks for 100 batches; they must not crowd out the small ones at the server
ATTEMPTS = 5
FIRST_PAUSE_S = 0.02
ABSENT_S = 1.0  # how long a table that is not there is not asked for
_TARGET = "DynamoDB_20120810.BatchGetItem"
_TRANSIENT = ("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded")


class DynamoDBTier:
    """Reads rows of Feast's tables.

    Args:
        random_source: spreads the pauses of retries.
        consistent: whether a read must show what was written a moment ago, at twice the price.
    """

    def __init__(
        self, settings: Settings, random_source: random.Random | None = None, *, consistent: bool = False
    ) -> None:
        self._consistent = consistent
        url = settings.dynamodb_endpoint or f"https://dynamodb.{settings.aws_region}.amazonaws.com"
        self.credentials = CredentialSource(settings)
        self._http = HttpPool(url, CONNECTIONS)
        self._signer = Signer(self.credentials, settings.aws_region, "dynamodb", self._http.authority.decode())
        self._random = random_source or random.Random()
        self._absent: dict[str, float] = {}  # table that is not there, and until when it is not asked for

    async def get(self, wanted: Sequence[tuple[str, str]]) -> Items:
        """Rows by table and entity id; what is not there is left out.

        Args:
            wanted: (table, entity id), each pair once.

        Raises:
            StoreUnavailable: DynamoDB is not reachable, refuses, or throttles for longer than the retries last.
        """
        items: Items = {}
        if self._absent:
            now = time.monotonic()
            wanted = [w for w in wanted if self._absent.get(w[0], 0.0) < now]
        chunks = [wanted[i : i + KEYS_A_CALL] for i in range(0, len(wanted), KEYS_A_CALL)]
        if len(chunks) == 1:
            await self._get_chunk(chunks[0], items)
        elif chunks:
            try:
                async with asyncio.TaskGroup() as group:
                    for chunk in chunks:
                        group.create_task(self._get_chunk(chunk, items))
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from failed
        return items

    async def _get_chunk(self, wanted: Sequence[tuple[str, str]], items: Items) -> None:
        tables: dict[str, Any] = {}
        more = {"ConsistentRead": True} if self._consistent else {}
        for table, entity_id in wanted:
            tables.setdefault(table, {"Keys": [], **more})["Keys"].append({"entity_id": {"S": entity_id}})
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1) * (0.5 + self._random.random()))
            response = await self._post(json.dumps({"RequestItems": tables}, separators=(",", ":")).encode())
            if response.status != 200:
                if _transient(response):
                    continue
                if b"ResourceNotFoundException" in response.body:
                    await self._without_absent(tables, items)
                    return
                raise StoreUnavailable(f"DynamoDB refused a read of {', '.join(tables)}: {_reason(response)}")
            try:
                answer = json.loads(response.body)
                for table, rows in answer["Responses"].items():
                    items.setdefault(table, {}).update((row["entity_id"]["S"], row) for row in rows)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise StoreUnavailable(f"DynamoDB answers what is none of its answers: {error!r}") from error
            tables = answer.get("UnprocessedKeys") or {}
            if not tables:
                return
        left = sum(len(t["Keys"]) for t in tables.values())
        raise StoreUnavailable(
            f"DynamoDB left {left} of {len(wanted)} rows unread after {ATTEMPTS} attempts: "
            f"raise the read capacity of {', '.join(tables)}"
        )

    async def _without_absent(self, tables: dict[str, Any], items: Items) -> None:
        """Asks for each table by itself; one that is refused even so is not there."""
        if len(tables) > 1:
            for table, asked in tables.items():
                await self._get_chunk([(table, key["entity_id"]["S"]) for key in asked["Keys"]], items)
            return
        (table,) = tables
        if table not in self._absent:
            log.error("DynamoDB has no table %r: its features are served as missing", table)
        self._absent[table] = time.monotonic() + ABSENT_S

    async def _post(self, body: bytes) -> Response:
        headers = self._signer.headers(_TARGET, body)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"POST / HTTP/1.1\r\n{lines}content-type: application/x-amz-json-1.0\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        try:
            return await self._http.request([head.encode() + body])
        except (HttpError, TimeoutError) as error:
            where = self._http.authority.decode()
            raise StoreUnavailable(f"DynamoDB at {where} does not answer: {error or 'timeout'}") from error

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()


def _reason(response: Response) -> str:
    return f"HTTP {response.status} {response.body[:300].decode(errors='replace')}"


def _transient(response: Response) -> bool:
    return response.status >= 500 or any(name.encode() in response.body for name in _TRANSIENT)
