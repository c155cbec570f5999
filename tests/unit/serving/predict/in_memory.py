"""A server whose tiers, model and Kafka are in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from adfeast.clock import ManualClock
from adfeast.contract.base_rates import BaseRates
from adfeast.contract.definitions import Definitions
from adfeast.contract.event_rules import server_rules
from adfeast.contract.signature import Signature
from adfeast.contract.snapshots import Snapshot, SnapshotCodec
from adfeast.contract.tensors import Tensors
from adfeast.feast_ext.online_layout import redis_field, redis_time_field, redis_watermarks_key
from adfeast.settings import Settings
from serving.budget import Budget
from serving.errors import ModelUnavailable, StoreUnavailable
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from serving.features.plan import Plan, compile_plan
from serving.features.reader import FeatureReader, Tiers
from serving.live import Live, choose
from serving.model.pointer import Models
from serving.model.triton import Model
from serving.predict.ladder import Ladder
from serving.predict.predictor import Predictor
from serving.predict.publisher import SnapshotPublisher
from serving.predict.recent import RecentScores
from serving.predict.request import RequestChecker
from serving.proto import adfeast_pb2 as pb
from tests.contract.watermarks import watermark_fields

SERVICE = "service"
NOW = 1_574_600_000_000


class Adding:
    """A model in memory: the sum of its dense inputs, so that a test can tell what it was given.

    Attributes:
        down: every call fails.
        stalled: no call is answered in time.
        refused: positions of rows that it answers with NaN.
        asked: rows of each call.
    """

    def __init__(self) -> None:
        self.down = self.stalled = False
        self.refused: list[int] = []
        self.asked: list[int] = []

    async def score(self, model: Model, tensors: Tensors, within_s: float) -> NDArray[np.float32]:
        self.asked.append(len(tensors.dense))
        if self.stalled:
            await asyncio.sleep(within_s)
            raise ModelUnavailable("the model in memory stands still")
        if self.down:
            raise ModelUnavailable("the model in memory is down")
        found = tensors.dense.sum(axis=1)
        found[self.refused] = np.nan
        return found


class Kept:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def send(self, topic: str, key: bytes, value: bytes, confirmed: Callable[[Any, Any], None]) -> None:
        self.messages.append(value)
        confirmed(None, None)


class Server:
    """What serves, with everything it talks to in memory."""

    def __init__(
        self,
        definitions: Definitions,
        loaded: dict[str, Signature],
        production: str,
        rates: BaseRates | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings()
        models = Models(production, {n: Model(n, s, 0, b"", rates) for n, s in loaded.items()})
        chosen = choose(definitions, SERVICE, models, None)
        self.redis, self.dynamodb, self.scorer, self.kept = MemoryRedis(), MemoryDynamoDB(), Adding(), Kept()
        self.clock = clock = ManualClock(NOW)
        plan: Plan = compile_plan(definitions, chosen.contract)
        tiers = self.tiers = Tiers(self.redis, self.dynamodb, settings)
        self.live = Live(
            SERVICE,
            plan,
            FeatureReader(plan, tiers, settings, clock),
            RequestChecker(plan, 10, clock, server_rules(settings)),
            SnapshotCodec(plan.contract),
        ).with_models(chosen)
        self.publisher = SnapshotPublisher(self.kept)  # type: ignore[arg-type]
        self.recent = RecentScores(settings.score_cache_candidates, round(settings.score_cache_ttl_s * 1000))
        self.ladder = Ladder(self.scorer, self.recent, clock)
        self.predictor = Predictor(lambda: self.live, self.ladder, self.publisher, Budget.of(settings))

    def stand_at(self, watermark_ms: int, *views: str) -> None:
        """As the writer says how far the views are."""
        self.redis.hashes.setdefault(redis_watermarks_key("adfeast"), {}).update(watermark_fields(views, watermark_ms))

    def predict(self, remaining_s: float | None = None, **changes: Any) -> pb.PredictResponse:
        async def ask() -> pb.PredictResponse:
            if not self.redis.stalled:  # they are followed off the request path
                with suppress(StoreUnavailable):  # what was known of them ages
                    await self.tiers.watermarks.look()
            sent = pb.PredictRequest(**{"user_id": "u", "ad_ids": ["a", "b"], **changes})
            answer = await self.predictor.predict(sent, remaining_s)
            self.publisher.flush()
            return answer

        return asyncio.run(ask())

    def snapshot(self) -> Snapshot:
        """Of the last answer."""
        return self.live.codec.decode(self.kept.messages[-1])


def row(view: str, **values: float) -> dict[bytes, bytes]:
    """The fields of a view's row in its entity's hash, of the time NOW."""
    stored = {redis_field(view, name): Value(double_val=v).SerializeToString() for name, v in values.items()}
    return stored | {redis_time_field(view): Timestamp(seconds=NOW // 1000).SerializeToString()}
