"""The prediction server as its callers see it: real stores, Triton, Kafka and MLflow."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import confluent_kafka
import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from adfeast import snapshots
from adfeast.clock import to_ms
from adfeast.definitions import Definitions, load_definitions
from adfeast.events import CLICKS, EVENT_ID, EVENT_TIME, IMPRESSIONS, EventCodec
from adfeast.feast_ext.store import open_store
from adfeast.ids import hash_id
from adfeast.settings import Settings
from adfeast.signature import AD, REQUEST, USER, Signature
from adfeast.snapshots import Snapshot, SnapshotCodec, Status
from infra.local.platform import Platform
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc
from tests.contract.feature_rows import fill
from tests.integration.echo_model import Registry, scores

MOMENT = datetime(2019, 11, 25, 12, tzinfo=UTC)
USERS = [f"serving-user-{i}" for i in range(5)]
ADS = [f"serving-ad-{i}" for i in range(200)]
DEADLINE_S = 60.0  # a machine under load needs it to start a process
SERVICE = "adfeast.v1.Prediction"
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 500)]
CODES = grpc.StatusCode


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def definitions(settings: Settings) -> Definitions:
    return load_definitions(settings)


@pytest.fixture(scope="module")
def signature(definitions: Definitions, settings: Settings) -> Signature:
    return definitions.signature(settings.feature_service)


@pytest.fixture(scope="module")
def registry(settings: Settings) -> Iterator[Registry]:
    """Starts without a production model; what was there before is there again afterwards."""
    made = Registry(settings)
    before = made.production()
    made.point(None)
    yield made
    made.point(before)


@pytest.fixture(scope="module")
def channel(
    platform: Platform, settings: Settings, definitions: Definitions, registry: Registry
) -> Iterator[grpc.Channel]:
    fill(open_store(settings), definitions, {USER: USERS, AD: ADS}, MOMENT, random.Random(1))
    platform.stop("prediction_server")
    platform.create_topics()
    platform.supervisor.start("prediction_server")  # `platform.start` would wait for a model
    with grpc.insecure_channel(settings.grpc_address, options=OPTIONS) as opened:
        wait_for(lambda: healthy(opened))
        yield opened
    platform.stop("prediction_server")


def healthy(channel: grpc.Channel, service: str = "") -> bool:
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=2)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Any:
    return pb_grpc.PredictionStub(channel)


@pytest.fixture(scope="module")
def model(stub: Any, registry: Registry, signature: Signature) -> str:
    """A deployed model, seed 1, small enough that 200 candidates need several calls."""
    name = registry.publish(signature, seed=1, max_batch=64)
    wait_for(lambda: stub.Status(pb.StatusRequest()).model_version == name)
    return name


class Topic:
    """Reads what is written to a topic from now on."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": settings.kafka_bootstrap, "group.id": uuid.uuid4().hex, "enable.auto.commit": False}
        )
        partitions = self._consumer.list_topics(topic, 10).topics[topic].partitions
        ends = [confluent_kafka.TopicPartition(topic, p) for p in partitions]
        for end in ends:
            end.offset = self._consumer.get_watermark_offsets(end, 10)[1]
        self._consumer.assign(ends)

    def read(self, count: int) -> list[confluent_kafka.Message]:
        found: list[Any] = []
        wait_for(
            lambda: found.extend(m for m in self._consumer.consume(count, 0.2) if not m.error()) or len(found) >= count
        )
        return found


def auction(**changes: Any) -> pb.PredictRequest:
    request = pb.PredictRequest(user_id=USERS[0], ad_ids=ADS)
    request.event_time.FromDatetime(MOMENT)
    for name, value in changes.items():
        if name in ("ad_ids", "context"):
            request.ClearField(name)
        if name == "ad_ids":
            request.ad_ids.extend(value)
        elif name == "context":
            for key, sent in value.items():
                request.context[key].CopyFrom(sent)
        else:
            setattr(request, name, value)
    return request


def context_of(signature: Signature) -> dict[str, pb.Value]:
    wanted = [i for i in signature.inputs if i.source == REQUEST]
    return {
        i.name: pb.Value(text="somewhere") if i.dtype == "string" else pb.Value(integer=7 + k)
        for k, i in enumerate(wanted)
    }


def refusal(call: Callable[..., Any], request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return caught.value.code(), caught.value.details()


def test_without_a_model_says_what_to_do(stub: Any, channel: grpc.Channel) -> None:
    code, text = refusal(stub.Predict, auction())
    assert code == CODES.FAILED_PRECONDITION
    assert "no model is deployed" in text
    assert "production" in text
    assert healthy(channel)
    assert not healthy(channel, SERVICE)


def test_predict_and_its_snapshot(stub: Any, model: str, settings: Settings, signature: Signature) -> None:
    topic = Topic(settings, snapshots.TOPIC)
    context = context_of(signature)
    answer = stub.Predict(auction(ad_ids=[*ADS[:150], "serving-ad-nowhere"], context=context, request_id="echo-1"))
    assert answer.model_version == model
    assert answer.request_id == "echo-1"
    assert answer.latency_ms > 0
    assert not answer.unknown_user
    assert 150 in answer.unknown_ads
    (message,) = topic.read(1)
    snapshot = SnapshotCodec(signature).decode(message.value())
    assert message.key() == b"echo-1"
    assert (snapshot.user_id, snapshot.model_version, snapshot.signature_hash) == (USERS[0], model, signature.hash)
    assert snapshot.event_timestamp == to_ms(MOMENT)
    assert list(snapshot.ad_ids) == [*ADS[:150], "serving-ad-nowhere"]
    np.testing.assert_array_equal(np.array(answer.scores, np.float32), snapshot.scores)
    np.testing.assert_array_equal(scores(snapshot.tensors, seed=1), snapshot.scores)  # what the model saw, bit for bit
    sent = dict(zip((i.name for i in signature.inputs if i.source != AD), snapshot.shared_status, strict=True))
    assert all(sent[name] == Status.PRESENT for name in context)
    start = {i.name: k for k, i in enumerate(signature.role("sparse"))}
    for name, value in context.items():
        expected = hash_id(value.text) if value.text else value.integer
        assert (snapshot.tensors.ids[:, start[name]] == expected).all()


def test_unknown_user_is_scored_with_defaults(stub: Any, model: str, settings: Settings, signature: Signature) -> None:
    topic = Topic(settings, snapshots.TOPIC)
    answer = stub.Predict(auction(user_id="serving-nobody"))
    assert answer.unknown_user
    assert len(answer.scores) == len(ADS)
    assert len(answer.request_id) == 32
    snapshot = SnapshotCodec(signature).decode(topic.read(1)[0].value())
    assert (snapshot.shared_status == Status.NOT_FOUND).all()


def test_the_most_candidates_allowed(stub: Any, model: str, settings: Settings) -> None:
    answer = stub.Predict(auction(ad_ids=[f"serving-many-{i}" for i in range(settings.max_candidates)]))
    assert len(answer.scores) == len(answer.unknown_ads) == settings.max_candidates


def test_bad_requests_are_named(stub: Any, model: str, settings: Settings, signature: Signature) -> None:
    text_input = next(i.name for i in signature.inputs if i.source == REQUEST and i.dtype == "string")
    bad = {
        "user_id": auction(user_id=""),
        "ad_ids is empty": auction(ad_ids=[]),
        f"{settings.max_candidates + 1} candidates": auction(ad_ids=map(str, range(settings.max_candidates + 1))),
        "'twice' more than once": auction(ad_ids=["once", "twice", "twice"]),
        "ad_ids[1] is empty": auction(ad_ids=["a", ""]),
        "'colour'": auction(context={"colour": pb.Value(text="red")}),
        f"{text_input!r} is string: send text, got integer 3": auction(context={text_input: pb.Value(integer=3)}),
    }
    for part, request in bad.items():
        code, text = refusal(stub.Predict, request)
        assert code == CODES.INVALID_ARGUMENT
        assert part in text


def test_a_new_model_answers_without_a_restart_and_a_foreign_one_is_refused(
    stub: Any, channel: grpc.Channel, model: str, registry: Registry, settings: Settings, signature: Signature
) -> None:
    assert healthy(channel, SERVICE)
    topic = Topic(settings, snapshots.TOPIC)
    newer = registry.publish(signature, seed=2)
    wait_for(lambda: stub.Status(pb.StatusRequest()).model_version == newer)
    answer = stub.Predict(auction())
    assert answer.model_version == newer
    np.testing.assert_array_equal(
        scores(SnapshotCodec(signature).decode(topic.read(1)[0].value()).tensors, seed=2),
        np.array(answer.scores, np.float32),
    )
    foreign = registry.publish(signature, seed=3, signature_hash="0" * 64)
    refused = wait_for(lambda: stub.Status(pb.StatusRequest()).refused)
    assert foreign in refused
    assert "0" * 64 in refused
    assert signature.hash in refused
    assert stub.Predict(auction()).model_version == newer
    registry.point(newer.rsplit("-", 1)[1])
    wait_for(lambda: not stub.Status(pb.StatusRequest()).refused)


def test_reflection_lists_the_service(channel: grpc.Channel) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    assert SERVICE in [s.name for s in answer.list_services_response.service]


def event(definitions: Definitions, topic: str, known_as: str, **changes: Any) -> pb.Event:
    """A valid event of a topic, with the columns its schema has."""
    made = pb.Event()
    for name, kind in EventCodec(topic, definitions.events[topic]).columns.items():
        if name == EVENT_ID:
            made.fields[name].text = known_as
        elif name == EVENT_TIME:
            made.fields[name].integer = to_ms(MOMENT)
        elif kind == "string":
            made.fields[name].text = f"some {name}"
        else:
            made.fields[name].integer = 1
    for name, value in changes.items():
        made.fields[name].CopyFrom(value)
    return made


@pytest.mark.parametrize(("topic", "call"), [(IMPRESSIONS, "LogImpression"), (CLICKS, "LogClick")])
def test_events_are_acknowledged_once_kafka_has_them(
    stub: Any, definitions: Definitions, settings: Settings, topic: str, call: str
) -> None:
    reading, codec = Topic(settings, topic), EventCodec(topic, definitions.events[topic])
    ids = [uuid.uuid4().hex for _ in range(50)]
    request = pb.LogEventsRequest(events=[event(definitions, topic, i) for i in ids])
    for _ in range(2):  # sent again, as after a lost answer
        assert getattr(stub, call)(request).accepted == 50
    messages = reading.read(100)
    events = [codec.decode(m.value()) for m in messages]
    assert sorted(e[EVENT_ID] for e in events) == sorted(ids * 2)
    key = definitions.entities[USER]
    assert all(m.key() == e[key].encode() for m, e in zip(messages, events, strict=True))


def test_an_event_without_a_time_gets_the_servers(stub: Any, definitions: Definitions, settings: Settings) -> None:
    reading, sent = Topic(settings, CLICKS), event(definitions, CLICKS, uuid.uuid4().hex)
    del sent.fields[EVENT_TIME]
    before = time.time() * 1000
    stub.LogClick(pb.LogEventsRequest(events=[sent]))
    decoded = EventCodec(CLICKS, definitions.events[CLICKS]).decode(reading.read(1)[0].value())
    assert before - 1 <= decoded[EVENT_TIME] <= time.time() * 1000


def test_a_bad_event_refuses_the_whole_call(stub: Any, definitions: Definitions, settings: Settings) -> None:
    reading, marker = Topic(settings, CLICKS), uuid.uuid4().hex
    good = event(definitions, CLICKS, "good")
    for changes, part in (
        ({EVENT_ID: pb.Value(text="")}, f"{EVENT_ID} must have 1 to 256 bytes"),
        ({EVENT_ID: pb.Value(integer=3)}, f"{EVENT_ID} must be string, got 3"),
        ({EVENT_ID: pb.Value()}, f"{EVENT_ID} has no value"),
        ({"colour": pb.Value(text="red")}, "colour is not a column"),
    ):
        bad = event(definitions, CLICKS, "bad", **changes)
        code, text = refusal(stub.LogClick, pb.LogEventsRequest(events=[good, good, bad]))
        assert code == CODES.INVALID_ARGUMENT
        assert text.startswith("events[2]: ")
        assert part in text
    assert refusal(stub.LogClick, pb.LogEventsRequest())[0] == CODES.INVALID_ARGUMENT
    stub.LogClick(pb.LogEventsRequest(events=[event(definitions, CLICKS, marker)]))
    (first,) = reading.read(1)
    assert EventCodec(CLICKS, definitions.events[CLICKS]).decode(first.value())[EVENT_ID] == marker


def test_killed_in_the_middle_acknowledged_events_are_there(
    platform: Platform, stub: Any, model: str, definitions: Definitions, settings: Settings
) -> None:
    """The caller sends again what was not acknowledged; every acknowledged event is on the topic."""
    reading, acknowledged, failures = Topic(settings, IMPRESSIONS), [], []
    for i in range(60):
        if i == 30:
            pid = platform.kill("prediction_server")
            assert pid != os.getpid()
        wanted = uuid.uuid4().hex

        def send(event_id: str = wanted) -> bool:
            try:
                stub.LogImpression(pb.LogEventsRequest(events=[event(definitions, IMPRESSIONS, event_id)]))
            except grpc.RpcError as error:
                failures.append(error.code())
                return False
            return True

        wait_for(send)
        acknowledged.append(wanted)
    assert set(failures) == {CODES.UNAVAILABLE}
    codec = EventCodec(IMPRESSIONS, definitions.events[IMPRESSIONS])
    assert {codec.decode(m.value())[EVENT_ID] for m in reading.read(60)} == set(acknowledged)
    assert stub.Predict(auction()).scores


def test_a_lost_store_is_unavailable_and_comes_back(platform: Platform, stub: Any, model: str) -> None:
    platform.stop("valkey")
    code, text = refusal(stub.Predict, auction())
    assert code == CODES.UNAVAILABLE
    assert "Redis" in text
    platform.start("valkey")
    assert len(stub.Predict(auction()).scores) == len(ADS)


def test_snapshot_counts_add_up(stub: Any, model: str) -> None:
    before = stub.Status(pb.StatusRequest())
    for _ in range(20):
        stub.Predict(auction())
    wait_for(lambda: stub.Status(pb.StatusRequest()).snapshots_acknowledged >= before.snapshots_acknowledged + 20)
    assert stub.Status(pb.StatusRequest()).snapshots_lost == before.snapshots_lost


def test_stops_gracefully_with_every_snapshot_sent(
    platform: Platform, stub: Any, model: str, settings: Settings, signature: Signature
) -> None:
    topic = Topic(settings, snapshots.TOPIC)
    ids = [stub.Predict(auction(ad_ids=ADS[:3])).request_id for _ in range(10)]
    platform.stop("prediction_server")
    codec = SnapshotCodec(signature)
    found: list[Snapshot] = [codec.decode(m.value()) for m in topic.read(10)]
    assert sorted(s.request_id for s in found) == sorted(ids)
    platform.start("prediction_server")
    assert stub.Predict(auction()).model_version
