"""Many requests at one tier: a row is read once at a time, and a large request leaves room for small ones."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

import pytest
from feast.protos.feast.types.Value_pb2 import Value

from adfeast.contract.signature import AD
from serving.errors import StoreUnavailable
from serving.features.columns import Rows, decode_dynamodb
from serving.features.dynamodb import KEYS_A_CALL, Items
from serving.features.memory import MemoryDynamoDB
from serving.features.plan import DYNAMODB, Plan
from serving.features.shared_reads import CALLS_AT_ONCE, DECODED, SharedReads, decode_in_turns
from serving.features.values import ValueDecoder

ADS = [("ads", f"ad {i}") for i in range(1_000)]


class Slow(MemoryDynamoDB):
    """Answers when the test opens the gate, and notes what was asked."""

    def __init__(self) -> None:
        super().__init__({"ads": {entity: {"entity_id": {"S": entity}} for _, entity in ADS[::2]}})
        self.asked: list[Sequence[tuple[str, str]]] = []
        self.open = asyncio.Event()

    async def get(self, wanted: Sequence[tuple[str, str]]) -> Items:
        self.asked.append(wanted)
        await self.open.wait()
        return await super().get(wanted)


async def let_all_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_requests_for_the_same_rows_are_one_read() -> None:
    async def run() -> None:
        tier = Slow()
        reads = SharedReads(tier)  # type: ignore[arg-type]
        asking = [asyncio.create_task(reads.get(ADS[:50])) for _ in range(20)]
        asking.append(asyncio.create_task(reads.get(ADS[40:60])))
        await let_all_run()
        assert [len(wanted) for wanted in tier.asked] == [50, 10]
        asking[0].cancel()  # the first one, whose read the others wait for
        await let_all_run()
        tier.open.set()
        answers = await asyncio.gather(*asking[1:])
        assert all(a.keys() == {"ads"} and len(a["ads"]) == 25 for a in answers[:-1])
        assert set(answers[-1]["ads"]) == {entity for _, entity in ADS[40:60:2]}
        await reads.get(ADS[:50])  # what has been answered is no longer shared
        assert len(tier.asked) == 3

    asyncio.run(run())


def test_a_large_request_leaves_room_for_small_ones() -> None:
    async def run() -> None:
        tier = Slow()
        reads = SharedReads(tier)  # type: ignore[arg-type]
        large = asyncio.create_task(reads.get(ADS))
        await let_all_run()
        assert [len(wanted) for wanted in tier.asked] == [KEYS_A_CALL] * CALLS_AT_ONCE
        # Rows that the large one has not asked for yet are not waited for in its queue.
        small = asyncio.create_task(reads.get([*ADS[:3], *ADS[-10:]]))
        await let_all_run()
        assert tier.asked[CALLS_AT_ONCE] == ADS[-10:]
        tier.open.set()
        assert set((await small)["ads"]) == {entity for _, entity in (*ADS[:3:2], *ADS[-10::2])}
        assert len((await large)["ads"]) == len(ADS) / 2

    asyncio.run(run())


def test_a_failure_reaches_all_that_wait_and_none_that_come_later() -> None:
    async def run() -> None:
        tier = Slow()
        reads = SharedReads(tier)  # type: ignore[arg-type]
        tier.down = True
        asking = [asyncio.create_task(reads.get(ADS[:250])) for _ in range(3)]
        await let_all_run()
        tier.open.set()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(f) for f in found] == [StoreUnavailable] * 3
        tier.down = False
        assert len((await reads.get(ADS[:250]))["ads"]) == 125

    asyncio.run(run())


def test_one_user_is_asked_for_directly() -> None:
    async def run() -> None:
        tier = Slow()
        tier.open.set()
        reads = SharedReads(tier)  # type: ignore[arg-type]
        assert await reads.get([("ads", "ad 0")]) == {"ads": {"ad 0": {"entity_id": {"S": "ad 0"}}}}
        assert await reads.get([]) == {}
        tier.down = True
        with pytest.raises(StoreUnavailable):
            await reads.get([("ads", "ad 0")])

    asyncio.run(run())


def test_a_large_answer_is_decoded_in_turns_and_as_a_whole(plan: Plan) -> None:
    block = plan.blocks[AD, DYNAMODB]
    value = base64.b64encode(Value(float_val=2.5).SerializeToString()).decode()
    stored = {"event_ts": {"S": "2024-01-01T00:00:00"}, "values": {"M": {"a_score": {"B": value}}}}
    keys = [f"ad {i}" for i in range(5 * DECODED + 1)]
    items = {table: dict.fromkeys(keys[::2], stored) for table in block.tables}

    async def run() -> tuple[Rows, int]:
        turns, decoding = 0, asyncio.ensure_future(decode_in_turns(block, items, keys, ValueDecoder()))
        while not decoding.done():
            await asyncio.sleep(0)
            turns += 1
        return decoding.result(), turns

    rows, turns = asyncio.run(run())
    whole = decode_dynamodb(block, items, keys, ValueDecoder())
    assert turns >= 5
    assert (rows.times == whole.times).all()
    assert (rows.absent == whole.absent).all()
    assert not rows.absent.all()
