"""A prediction server on the session's platform, with filled stores; without a model until one is asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from adfeast.clock import to_ms
from adfeast.contract.definitions import Definitions
from adfeast.contract.signature import AD, USER, Signature
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import open_store
from adfeast.settings import Settings
from infra.local.platform.platform import Platform
from serving.proto import adfeast_pb2 as pb
from serving.proto import adfeast_pb2_grpc as pb_grpc
from tests.contract.feature_rows import fill
from tests.contract.watermarks import stand_at
from tests.integration.echo_model import Registry
from tests.integration.serving.calls import (
    ADS,
    MOMENT,
    OPTIONS,
    USERS,
    healthy,
    wait_for,
)


@pytest.fixture(scope="package")
def definitions(settings: Settings) -> Definitions:
    return load_definitions(settings)


@pytest.fixture(scope="package")
def signature(definitions: Definitions, settings: Settings) -> Signature:
    return definitions.signature(settings.feature_service)


@pytest.fixture(scope="package")
def registry(settings: Settings) -> Iterator[Registry]:
    """Starts without a production model; what was there before is there again afterwards."""
    made = Registry(settings)
    before = made.production()
    made.point(None)
    yield made
    made.point(before)


@pytest.fixture(scope="package")
def channel(
    platform: Platform, settings: Settings, definitions: Definitions, registry: Registry
) -> Iterator[grpc.Channel]:
    fill(open_store(settings), definitions, {USER: USERS, AD: ADS}, MOMENT, random.Random(1))
    stand_at(settings, definitions, to_ms(MOMENT))
    platform.stop("prediction_server")
    platform.create_topics()
    platform.supervisor.start("prediction_server")  # `platform.start` would wait for a model
    with grpc.insecure_channel(settings.grpc_address, options=OPTIONS) as opened:
        wait_for(lambda: healthy(opened))
        yield opened
    platform.stop("prediction_server")


@pytest.fixture(scope="package")
def stub(channel: grpc.Channel) -> Any:
    return pb_grpc.PredictionStub(channel)


@pytest.fixture(scope="package")
def model(stub: Any, registry: Registry, signature: Signature) -> str:
    """A deployed model, seed 1, small enough that 200 candidates need several calls."""
    name = registry.publish(signature, seed=1, max_batch=64)
    wait_for(lambda: stub.Status(pb.StatusRequest()).model_version == name)
    return name
