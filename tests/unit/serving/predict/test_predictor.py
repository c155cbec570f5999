"""A Predict without a platform: tiers in memory, and a model that adds up what it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adfeast.clock import ManualClock
from adfeast.contract.definitions import Definitions
from adfeast.contract.event_rules import server_rules
from adfeast.contract.signature import Signature
from adfeast.contract.snapshots import SnapshotCodec
from adfeast.contract.tensors import Selection, Tensors
from adfeast.errors import DefinitionError
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
        clock = ManualClock(NOW)
        plan: Plan = compile_plan(definitions, chosen.contract)
        tiers = Tiers(self.redis, self.dynamodb)
        self.live = Live(
            SERVICE,
            plan,
            FeatureReader(plan, tiers, Settings(), clock),
            RequestChecker(plan, 10, clock, server_rules(Settings())),
            SnapshotCodec(plan.contract),
        ).with_models(chosen)
        self.publisher = SnapshotPublisher(self.kept)  # type: ignore[arg-type]
        self.predictor = Predictor(lambda: self.live, self.scorer, self.publisher)  # type: ignore[arg-type]

    def predict(self, **changes: Any) -> pb.PredictResponse:
        async def ask() -> pb.PredictResponse:
            answer = await self.predictor.predict(pb.PredictRequest(user_id="u", ad_ids=["a", "b"], **changes))
            self.publisher.flush()
            return answer

        return asyncio.run(ask())


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


def test_each_loaded_model_gets_its_inputs_and_the_log_holds_all(definitions: Definitions, whole: Signature) -> None:
    """The model of yesterday takes less, and another default; both are fed from one reading."""
    few = replace(whole, inputs=tuple(replace(i, default=9.0) for i in whole.inputs if i.name in ("u_count", "a_rate")))
    server = Server(definitions, {"m1": few, "m2": whole}, "m1")
    assert list(server.predict().scores) == [18.0, 18.0]
    assert server.live.contract == definitions.contract(SERVICE)
    assert set(server.live.holds) == {"m1", "m2"}


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
