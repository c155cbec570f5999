"""A stream side that stops shows in the answers and in what is logged of them, and so does its coming back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import numpy as np
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from adfeast.clock import to_ms
from adfeast.contract import snapshots
from adfeast.contract.definitions import Definitions
from adfeast.contract.signature import AD, Contract, Signature
from adfeast.contract.snapshots import Snapshot, SnapshotCodec
from adfeast.contract.tensors import Status
from adfeast.feast_ext.online_layout import redis_watermark_field, redis_watermarks_key
from adfeast.metrics import ANSWERS, REFUSED_EVENTS, SERVED_WATERMARK_AGE, STALE_ANSWERS, Metric
from adfeast.settings import Settings
from infra.local.platform.platform import Platform
from infra.local.platform.web import ask
from serving.proto import adfeast_pb2 as pb
from tests.contract.watermarks import stand_at
from tests.integration.serving.calls import ADS, DEADLINE_S, MOMENT, Topic, auction, wait_for


@pytest.fixture(autouse=True)
def fresh_again(settings: Settings, definitions: Definitions, stub: Any, model: str) -> Iterator[None]:
    yield
    stand_at(settings, definitions, to_ms(MOMENT))
    wait_for(lambda: not stub.Predict(asked(0)).stale_views)


def asked(after_ms: int, **changes: Any) -> pb.PredictRequest:
    request = auction(ad_ids=ADS[:20], **changes)
    request.event_time.FromDatetime(MOMENT + timedelta(milliseconds=after_ms))
    return request


def snapshot_of(topic: Topic, codec: SnapshotCodec, request_id: str) -> Snapshot:
    """Those of requests before it may come first: they are published after their answers."""
    while (found := codec.decode(topic.read(1)[0].value())).request_id != request_id:
        pass
    return found


def statuses(signature: Signature, snapshot: Snapshot) -> dict[str, set[int]]:
    """View to the statuses of its features."""
    found: dict[str, set[int]] = {}
    sides = (False, snapshot.shared_status[:, None]), (True, snapshot.ad_status.T)
    for is_ad, rows in sides:
        mine = [i for i in Contract.union(signature).inputs if (i.source == AD) == is_ad]
        for i, status in zip(mine, rows, strict=True):
            found.setdefault(i.view, set()).update(status.tolist())
    return found


def test_a_stopped_stream_side_is_marked_in_the_answer_and_in_the_snapshot(
    settings: Settings, stub: Any, model: str, definitions: Definitions, signature: Signature
) -> None:
    views = {v.name: v for v in definitions.service_views(settings.feature_service) if v.kind == "stream"}
    batch = {v.name for v in definitions.service_views(settings.feature_service)} - views.keys()
    assert {v.entity for v in views.values()} == {"user", AD}
    promise = 1000 * max(v.fresh_within_s or 0 for v in views.values())
    wait_for(lambda: not stub.Predict(asked(promise)).stale_views)
    topic, codec = Topic(settings, snapshots.TOPIC), SnapshotCodec(Contract.union(signature))
    assert set(stub.Predict(asked(promise + 1, request_id="stopped")).stale_views) == views.keys()
    stale = snapshot_of(topic, codec, "stopped")
    found = statuses(signature, stale)
    assert all(found[view] == {Status.STALE} for view in views)
    assert not any(Status.STALE in found[view] for view in batch)
    assert any(Status.PRESENT in found[view] for view in batch)
    assert stale.ad_times.any()  # how old the rows were stands there still
    contract, stream = Contract.union(signature), [i for i in signature.inputs if i.view in views]
    columns = [contract.starts[i.view, i.name] for i in stream]
    assert np.isnan(stale.tensors.dense[:, columns]).all()

    stand_at(settings, definitions, to_ms(MOMENT) + promise)  # it has come back
    wait_for(lambda: not stub.Predict(asked(promise + 1)).stale_views)
    stub.Predict(asked(promise + 1, request_id="back"))
    found = statuses(signature, snapshot_of(topic, codec, "back"))
    assert all(Status.STALE not in found[view] for view in views)
    assert any(Status.PRESENT in found[view] for view in views)


def test_a_view_of_which_nobody_says_how_far_it_is_is_stale(
    settings: Settings, stub: Any, model: str, definitions: Definitions
) -> None:
    view = next(v.name for v in definitions.service_views(settings.feature_service) if v.kind == "stream")
    client = redis.Redis(settings.redis_host, settings.redis_port)
    client.hdel(redis_watermarks_key(settings.project), redis_watermark_field(view, 1))  # one way brought nothing
    assert wait_for(lambda: list(stub.Predict(asked(0)).stale_views)) == [view]


def test_a_server_shows_how_old_what_it_serves_by_is_and_counts_what_it_served_without(
    platform: Platform, settings: Settings, stub: Any, model: str, definitions: Definitions
) -> None:
    view = next(v for v in definitions.service_views(settings.feature_service) if v.kind == "stream")
    port = json.loads((platform.home.root / "ports").read_text())["prediction_server.metrics"]

    def shown(metric: Metric, **labels: str) -> float:
        found = text_string_to_metric_families(ask(f"http://127.0.0.1:{port}/metrics").decode())
        values = [s.value for f in found for s in f.samples if (s.name, s.labels) == (metric.name, labels)]
        assert len(values) == 1, (metric, labels)
        return values[0]

    before, stale = shown(ANSWERS), shown(STALE_ANSWERS, view=view.name)
    stub.Predict(asked(0))
    stub.Predict(asked(1000 * (view.fresh_within_s or 0) + 1))
    assert shown(ANSWERS) == before + 2
    assert shown(STALE_ANSWERS, view=view.name) == stale + 1
    age_s = time.time() - MOMENT.timestamp()
    assert abs(shown(SERVED_WATERMARK_AGE, view=view.name) - age_s) < DEADLINE_S
    with pytest.raises(grpc.RpcError):
        stub.LogClick(pb.LogEventsRequest(events=[pb.Event()]))
    assert shown(REFUSED_EVENTS, topic="clicks", rule="ahead") == 0
