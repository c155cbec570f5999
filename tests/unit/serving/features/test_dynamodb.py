"""A table that is gone is a table without rows; the others are read all the same."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from adfeast.settings import Settings
from serving.features.dynamodb import DynamoDBTier, Items

GONE = "p.gone"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As DynamoDB does: one table that it has not refuses the whole call; every other row is there."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        [size] = [int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")]
        asked: dict[str, Any] = json.loads(await reader.readexactly(size))["RequestItems"]
        status, said = "400 Bad Request", {"__type": "ResourceNotFoundException"}
        if GONE not in asked:
            status, said = "200 OK", {"Responses": {table: keys["Keys"] for table, keys in asked.items()}}
        body = json.dumps(said).encode()
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status.encode(), len(body)) + body)


async def _get(*wanted: tuple[str, str]) -> Items:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tier = DynamoDBTier(Settings(dynamodb_endpoint=url, aws_access_key_id="k", aws_secret_access_key="s"))
    try:
        return await tier.get(wanted)
    finally:
        tier.close()
        server.close()


def test_a_table_that_is_gone_costs_the_others_none_of_their_rows() -> None:
    found = asyncio.run(_get((GONE, "u"), ("p.there", "u"), ("p.there", "v"), ("p.other", "u")))
    assert {table: set(rows) for table, rows in found.items()} == {"p.there": {"u", "v"}, "p.other": {"u"}}
