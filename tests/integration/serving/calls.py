"""Calls of the prediction server, and what it writes to Kafka."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import confluent_kafka
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adfeast.contract.signature import REQUEST, Signature
from adfeast.settings import Settings
from serving.proto import adfeast_pb2 as pb

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


def healthy(channel: grpc.Channel, service: str = "") -> bool:
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=2)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


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
