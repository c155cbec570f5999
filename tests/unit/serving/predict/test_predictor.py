"""A Predict without a platform: tiers in memory, and a model that adds up what it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from adfeast.clock import ManualClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.event_rules import server_rules
from adfeast.contract.signature import AD, Signature
from adfeast.contract.snapshots import SnapshotCodec
from adfeast.contract.tensors import Selection, Status, Tensors
from adfeast.errors import DefinitionError
from adfeast.feast_ext.online_layout import redis_field, redis_key, redis_time_field, redis_watermarks_key
from adfeast.settings import Settings
from serving.errors import ModelUnavailable, NoModel, StoreUnavailable
from serving.features.memory import MemoryDynamoDB, MemoryRedis
from serving.features.plan import Plan, compile_plan
from serving.features.reader import FeatureReader, Tiers
from serving.live import Live, choose
from serving.model.pointer import Models
from serving.model.triton import Model
from serving.predict.predictor import Predictor
from serving.predict.publisher import SnapshotPublisher
from serving.predict.request import RequestChecker
from serving.proto import adfeast_pb2 as pb
from tests.contract.watermarks import watermark_fields

SERVICE = "service"
NOW = 1_574_600_000_000


class Adding:
    """A model in memory: the sum of its dense inputs, so that a test can tell what it was given."""

    def __init__(self) -> None:
        self.down = False

    async def score(self, model: Model, tensors: Tensors) -> np.ndarray[Any, Any]:
        if self.down:
            raise ModelUnavailable("the model in memory is down")
        return tensors.dense.sum(axis=1)


class Kept:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def send(self, topic: str, key: bytes, value: bytes, confirmed: Callable[[Any, Any], None]) -> None:
        self.messages.append(value)
        confirmed(None, None)


class Server:
    """What serves, with everything it talks to in memory."""

    def __init__(self, definitions: Definitions, loaded: dict[str, Signature], production: str) -> None:
        models = Models(production, {n: Model(n, s, 0, b"") for n, s in loaded.items()})
        chosen = choose(definitions, SERVICE, models, None)
        self.redis, self.dynamodb, self.scorer, self.kept = MemoryRedis(), MemoryDynamoDB(), Adding(), Kept()
        self.clock = clock = ManualClock(NOW)
        plan: Plan = compile_plan(definitions, chosen.contract)
        tiers = self.tiers = Tiers(self.redis, self.dynamodb, Settings())
        self.live = Live(
            SERVICE,
            plan,
            FeatureReader(plan, tiers, Settings(), clock),
            RequestChecker(plan, 10, clock, server_rules(Settings())),
            SnapshotCodec(plan.contract),
        ).with_models(chosen)
        self.publisher = SnapshotPublisher(self.kept)  # type: ignore[arg-type]
        self.predictor = Predictor(lambda: self.live, self.scorer, self.publisher)  # type: ignore[arg-type]

    def stand_at(self, watermark_ms: int, *views: str) -> None:
        """As the writer says how far the views are."""
        self.redis.hashes.setdefault(redis_watermarks_key("adfeast"), {}).update(watermark_fields(views, watermark_ms))

    def predict(self, **changes: Any) -> pb.PredictResponse:
        async def ask() -> pb.PredictResponse:
            await self.tiers.watermarks.look()
            answer = await self.predictor.predict(pb.PredictRequest(user_id="u", ad_ids=["a", "b"], **changes))
            self.publisher.flush()
            return answer

        return asyncio.run(ask())


def row(view: str, **values: float) -> dict[bytes, bytes]:
    """The fields of a view's row in its entity's hash, of the time NOW."""
    stored = {redis_field(view, name): Value(double_val=v).SerializeToString() for name, v in values.items()}
    return stored | {redis_time_field(view): Timestamp(seconds=NOW // 1000).SerializeToString()}


@pytest.fixture
def whole(definitions: Definitions) -> Signature:
    return definitions.signature(SERVICE)


def test_an_answer_publishes_its_own_snapshot(definitions: Definitions, whole: Signature) -> None:
    server = Server(definitions, {"m1": whole}, "m1")
    answer = server.predict()
    [message] = server.kept.messages
    snapshot = server.live.codec.decode(message)
    assert (snapshot.attempt_id, snapshot.model_version) == (answer.attempt_id, "m1")
    assert snapshot.scores.tolist() == list(answer.scores)
    defaults = sum(i.default for i in whole.role("dense"))
    assert list(answer.scores) == [defaults, defaults]
    assert np.isnan(snapshot.tensors.dense).all()  # the log tells a gap from a zero


def test_a_request_that_is_repeated_is_another_attempt(definitions: Definitions, whole: Signature) -> None:
    server = Server(definitions, {"m1": whole}, "m1")
    answers = [server.predict(request_id="r") for _ in range(2)]
    assert [a.request_id for a in answers] == ["r", "r"]
    snapshots = [server.live.codec.decode(message) for message in server.kept.messages]
    assert [s.attempt_id for s in snapshots] == [a.attempt_id for a in answers]
    assert len({"r", *(a.attempt_id for a in answers)}) == 3


def test_a_stream_side_that_stops_is_marked_and_comes_back(definitions: Definitions, whole: Signature) -> None:
    """A counter that nobody lowers any more was PRESENT for a day, was scored, and was logged as the truth."""
    few = replace(whole, inputs=tuple(i for i in whole.inputs if i.name in ("u_count", "a_rate")))
    server = Server(definitions, {"m1": few}, "m1")
    server.redis.hashes[redis_key("user_name", "u", "project")] = row("u_fast", u_count=37)
    for ad in ("a", "b"):
        server.redis.hashes[redis_key("ad_name", ad, "project")] = row("a_fast", a_count=5, a_rate=3)
    server.stand_at(NOW - 6_000, "u_fast", "a_fast")

    def status(name: str) -> int:
        snapshot = server.live.codec.decode(server.kept.messages[-1])
        shared = [i.name for i in server.live.contract.inputs if i.source != AD]
        own = [i.name for i in server.live.contract.inputs if i.source == AD]
        return int(
            snapshot.shared_status[shared.index(name)] if name in shared else snapshot.ad_status[0][own.index(name)]
        )

    answer = server.predict()
    assert (list(answer.stale_views), list(answer.scores)) == ([], [40.0, 40.0])
    assert (status("u_count"), status("a_rate")) == (Status.PRESENT, Status.PRESENT)
    server.clock.advance(9_000)  # the watermark stands still: 15 s behind, which is as far as it may be
    assert list(server.predict().stale_views) == []
    server.clock.advance(1)
    answer = server.predict()
    assert (list(answer.stale_views), list(answer.scores)) == (["u_fast", "a_fast"], [0.75, 0.75])  # defaults
    assert (status("u_count"), status("a_rate")) == (Status.STALE, Status.STALE)
    assert np.isnan(server.live.codec.decode(server.kept.messages[-1]).tensors.dense[:, :1]).all()
    server.stand_at(NOW, "a_fast")  # one job is back
    answer = server.predict()
    assert (list(answer.stale_views), list(answer.scores)) == (["u_fast"], [3.5, 3.5])
    assert (status("u_count"), status("a_rate")) == (Status.STALE, Status.PRESENT)
    server.stand_at(NOW, "u_fast")
    assert list(server.predict().scores) == [40.0, 40.0]


def test_each_loaded_model_gets_its_inputs_and_the_log_holds_all(definitions: Definitions, whole: Signature) -> None:
    """The model of yesterday takes less, and another default; both are fed from one reading."""
    few = replace(whole, inputs=tuple(replace(i, default=9.0) for i in whole.inputs if i.name in ("u_count", "a_rate")))
    server = Server(definitions, {"m1": few, "m2": whole}, "m1")
    assert list(server.predict().scores) == [18.0, 18.0]
    assert server.live.contract == definitions.contract(SERVICE)
    assert set(server.live.holds) == {"m1", "m2"}


def test_a_model_is_fed_with_what_the_service_has_left_out_and_the_log_holds_that_too(
    definitions: Definitions, whole: Signature
) -> None:
    service = replace(definitions.services[SERVICE], views=(("a_fast", ("a_count",)),))
    smaller = replace(definitions, services={SERVICE: service})
    server = Server(smaller, {"m1": whole}, "m1")
    answer = server.predict()
    assert list(answer.scores) == [sum(i.default for i in whole.role("dense"))] * 2
    assert smaller.contract(SERVICE) != server.live.contract == server.live.codec.contract
    assert set(server.live.contract.inputs) == {i.identity for i in whole.inputs}


def test_a_model_that_cannot_be_fed_is_left_out_and_named(definitions: Definitions, whole: Signature) -> None:
    other = replace(whole, inputs=(replace(whole.inputs[0], made="otherwise"), *whole.inputs[1:]))
    models = Models("m2", {"m1": Model("m1", whole, 0, b""), "m2": Model("m2", other, 0, b"")})
    chosen = choose(definitions, SERVICE, models, None)
    assert (set(chosen.models), chosen.answers) == ({"m1"}, "")
    assert "'m2' cannot be fed" in chosen.problems[0]


def test_the_model_that_answers_goes_on_until_another_one_can(definitions: Definitions, whole: Signature) -> None:
    server = Server(definitions, {"m1": whole}, "m1")
    for models in (Models(), Models("m2"), Models("m1")):  # Triton is away; a deploy went wrong; Triton is back, empty
        chosen = choose(definitions, SERVICE, models, server.live.answers)
        assert (chosen.answers, set(chosen.models)) == ("m1", {"m1"})
        assert server.live.with_models(chosen).answers is server.live.answers
    gone = replace(definitions, views={n: v for n, v in definitions.views.items() if n != "a_old"})
    services = {SERVICE: replace(definitions.services[SERVICE], views=definitions.services[SERVICE].views[:-1])}
    with pytest.raises(DefinitionError, match="'m1' answers, and cannot be fed any more"):
        choose(replace(gone, services=services), SERVICE, Models(), server.live.answers)


def test_what_is_away_is_named(definitions: Definitions, whole: Signature) -> None:
    server = Server(definitions, {"m1": whole}, "m1")
    for part, error in ((server.redis, StoreUnavailable), (server.dynamodb, StoreUnavailable)):
        part.down = True
        with pytest.raises(error, match="down"):
            server.predict()
        part.down = False
    server.scorer.down = True
    with pytest.raises(ModelUnavailable, match="down"):
        server.predict()
    assert server.kept.messages == []
    with pytest.raises(NoModel, match="no model is deployed"):
        Server(definitions, {}, "").predict()


def test_a_selection_of_everything_in_order_is_what_was_read(definitions: Definitions, whole: Signature) -> None:
    contract = definitions.contract(SERVICE)
    tensors = Tensors(
        np.ones((2, contract.width("dense")), np.float32),
        np.ones((2, contract.width("sparse")), np.int64),
        np.ones((2, contract.width("list")), np.int64),
        np.ones((2, contract.width("embedding")), np.float32),
    )
    taken = Selection(contract, whole).take(tensors)
    assert all((taken.of(role) == tensors.of(role)).all() for role in ("dense", "sparse", "list", "embedding"))
