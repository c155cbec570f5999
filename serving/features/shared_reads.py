"""Reads of the DynamoDB tier that requests share: a row is asked for once at a time, and no request crowds others out.

A thousand requests for an ad that has just expired are one read. A request of thousands of cold rows has a few calls on
their way at any moment, so the calls of others stand between them and not behind all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from serving.features.columns import Rows, decode_dynamodb
from serving.features.dynamodb import KEYS_A_CALL, DynamoDBTier, Items
from serving.features.memory import MemoryDynamoDB
from serving.features.plan import Block
from serving.features.values import ValueDecoder

CALLS_AT_ONCE = 4  # of one request, of the 16 connections
DECODED = 200  # rows that are decoded before others have their turn: 3 ms
FEW = 4  # so few rows are those of a user, which nobody else asks for at the same time

Key = tuple[str, str]


class SharedReads:
    """`DynamoDBTier.get` for many requests at once.

    A read that others may wait for goes on when the request that began it is given up.
    """

    def __init__(self, tier: DynamoDBTier | MemoryDynamoDB) -> None:
        self._tier = tier
        self._flights: dict[Key, asyncio.Task[Items]] = {}

    async def get(self, wanted: Sequence[Key]) -> Items:
        """See `DynamoDBTier.get`.

        Raises:
            StoreUnavailable: as there, of the first call that failed.
        """
        if len(wanted) <= FEW:
            return await self._tier.get(wanted)
        items: Items = {}
        slices = [wanted[i : i + KEYS_A_CALL] for i in range(0, len(wanted), KEYS_A_CALL)]
        if len(slices) == 1:
            await self._slice(slices[0], items)
            return items
        gate = asyncio.Semaphore(CALLS_AT_ONCE)

        async def in_turn(keys: Sequence[Key]) -> None:
            async with gate:
                await self._slice(keys, items)

        try:
            async with asyncio.TaskGroup() as group:
                for keys in slices:
                    group.create_task(in_turn(keys))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return items

    async def _slice(self, wanted: Sequence[Key], items: Items) -> None:
        own = [key for key in wanted if key not in self._flights]
        if own:
            flight = asyncio.ensure_future(self._tier.get(own))
            self._flights.update(dict.fromkeys(own, flight))
            flight.add_done_callback(lambda done: self._landed(done, own))
        shared: dict[asyncio.Task[Items], list[Key]] = {}
        for key in wanted:
            shared.setdefault(self._flights[key], []).append(key)
        for waited, keys in shared.items():
            found = await asyncio.shield(waited)
            for table, entity in keys:
                row = found.get(table, {}).get(entity)
                if row is not None:
                    items.setdefault(table, {})[entity] = row

    def _landed(self, flight: asyncio.Task[Items], keys: Sequence[Key]) -> None:
        for key in keys:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # whoever waits is told; nobody else is worth a warning

    def close(self) -> None:
        """Closes the connections."""
        self._tier.close()


async def decode_in_turns(block: Block, items: Items, keys: Sequence[str], decoder: ValueDecoder) -> Rows:
    """`decode_dynamodb`, with turns for others between the slices of a large request."""
    if len(keys) <= DECODED:
        return decode_dynamodb(block, items, keys, decoder)
    rows = Rows(block, len(keys))
    for start in range(0, len(keys), DECODED):
        some = keys[start : start + DECODED]
        rows.copy_from(slice(start, start + len(some)), decode_dynamodb(block, items, some, decoder), slice(None))
        await asyncio.sleep(0)
    return rows
