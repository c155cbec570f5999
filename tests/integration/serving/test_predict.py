"""Predict as its callers see it: real stores, Triton, Kafka and MLflow."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from adfeast.clock import to_ms
from adfeast.contract import snapshots
from adfeast.contract.ids import hash_id
from adfeast.contract.signature import AD, REQUEST, Contract, Signature
from adfeast.contract.snapshots import SnapshotCodec
from adfeast.contract.tensors import Selection, Status, Tensors
from adfeast.settings import Settings
from infra.local.platform.platform import Platform
from serving.proto import adfeast_pb2 as pb
from tests.integration.echo_model import Registry, scores
from tests.integration.serving.calls import (
    ADS,
    CODES,
    MOMENT,
    SERVICE,
    USERS,
    Topic,
    auction,
    context_of,
    healthy,
    refusal,
    wait_for,
)


def codec_of(signature: Signature) -> SnapshotCodec:
    """Of what is logged while every loaded model takes the inputs of this one service."""
    return SnapshotCodec(Contract.union(signature))


def inputs(signature: Signature, logged: Tensors) -> Tensors:
    return Selection(Contract.union(signature), signature).take(logged)


def test_without_a_model_says_what_to_do(stub: Any, channel: grpc.Channel) -> None:
    code, text = refusal(stub.Predict, auction())
    assert code == CODES.FAILED_PRECONDITION
    assert "no model is deployed" in text
    assert "adfeast model deploy" in text
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
    snapshot = codec_of(signature).decode(message.value())
    assert message.key() == b"echo-1"
    assert (snapshot.user_id, snapshot.model_version) == (USERS[0], model)
    assert snapshot.contract_hash == Contract.union(signature).hash
    assert snapshot.attempt_id == answer.attempt_id
    assert snapshot.event_timestamp == to_ms(MOMENT)
    assert list(snapshot.ad_ids) == [*ADS[:150], "serving-ad-nowhere"]
    np.testing.assert_array_equal(np.array(answer.scores, np.float32), snapshot.scores)
    # What the model saw, bit for bit.
    np.testing.assert_array_equal(scores(inputs(signature, snapshot.tensors), seed=1), snapshot.scores)
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
    snapshot = codec_of(signature).decode(topic.read(1)[0].value())
    assert (snapshot.shared_status == Status.NOT_FOUND).all()


def test_the_most_candidates_allowed(stub: Any, model: str, settings: Settings) -> None:
    asked = auction(ad_ids=[f"serving-many-{i}" for i in range(settings.max_candidates)])
    # So many cold ads may take a busy machine longer than the call has; what was read too late is there the next time.
    answer = wait_for(lambda: next((a for a in [stub.Predict(asked)] if not a.away), None))
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
        scores(inputs(signature, codec_of(signature).decode(topic.read(1)[0].value()).tensors), seed=2),
        np.array(answer.scores, np.float32),
    )
    foreign = registry.publish(signature, seed=3, signature_hash="0" * 64)
    refused = wait_for(lambda: stub.Status(pb.StatusRequest()).refused)
    assert foreign in refused
    assert "0" * 64 in refused
    assert signature.hash in refused
    assert stub.Predict(auction()).model_version == newer
    registry.point(newer)
    registry.unload(foreign)
    wait_for(lambda: not stub.Status(pb.StatusRequest()).refused)


def test_reflection_lists_the_service(channel: grpc.Channel) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    assert SERVICE in [s.name for s in answer.list_services_response.service]


def test_a_lost_store_costs_a_rung_and_comes_back(platform: Platform, stub: Any, model: str) -> None:
    asked = auction(user_id="serving-nobody-yet")
    platform.stop("valkey")
    answer = stub.Predict(asked)
    assert (answer.rung, list(answer.away), len(answer.scores)) == (pb.RUNG_PARTIAL, ["redis"], len(ADS))
    platform.start("valkey")
    wait_for(lambda: stub.Predict(asked).rung == pb.RUNG_FRESH)
