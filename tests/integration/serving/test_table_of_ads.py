"""A server whose machine keeps a table of ads takes their rows out of it, and starts when it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from confluent_kafka import Producer

from adfeast.clock import to_ms
from adfeast.contract.definitions import Definitions
from adfeast.contract.rows import Layout, record_layouts
from adfeast.contract.signature import AD
from adfeast.contract.topics import features_topic
from adfeast.feast_ext.online_layout import redis_key
from adfeast.settings import Settings
from infra.local.platform.platform import Platform
from serving.ads.files import current_file, sign_of
from serving.proto import adfeast_pb2 as pb
from tests.integration.serving.calls import ADS, MOMENT, auction, wait_for

ONE, OTHER = ADS[0], ADS[1]


@pytest.fixture
def keeper(platform: Platform, settings: Settings, definitions: Definitions) -> Iterator[None]:
    record_layouts(settings, (v for v in definitions.views.values() if v.kind == "stream"))
    platform.start("ad_table")
    yield
    platform.stop("ad_table")
    current_file(settings.local / "state" / "ads", settings.project).unlink(missing_ok=True)


def test_an_ad_in_the_table_needs_no_store_and_another_is_read_there(
    platform: Platform, settings: Settings, definitions: Definitions, stub: Any, model: str, keeper: None
) -> None:
    view = next(v for v in definitions.views.values() if v.kind == "stream" and v.entity == AD)
    row = Layout.of(view).encode(to_ms(MOMENT), [9] * len(view.features))
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    before = list(stub.Predict(auction(ad_ids=[ONE, OTHER])).scores)
    producer.produce(features_topic(settings.project, view.name), row, ONE.encode())
    assert producer.flush(20) == 0
    asked = auction(ad_ids=[ONE, OTHER])
    wait_for(lambda: stub.Predict(asked).scores[0] != before[0])  # nobody writes it into Redis
    said = list(stub.Predict(asked).scores)
    assert said[1] == before[1]
    hashes = [redis_key(view.join_key, ad, settings.project) for ad in (ONE, OTHER)]
    with redis.Redis(port=settings.redis_port) as client:
        kept = {key: client.dump(key) for key in hashes}
        client.delete(*hashes)
        try:
            wait_for(lambda: stub.Predict(asked).scores[1] != before[1])
            assert stub.Predict(asked).scores[0] == said[0]
        finally:
            for key, value in kept.items():
                if value:
                    client.restore(key, 0, value, replace=True)
    folder = settings.local / "state" / "ads"
    wait_for(lambda: (s := sign_of(folder, settings.project)) and not s.size.startswith(("0 ads", "no table")))
    platform.kill("ad_table")
    platform.wait("ad_table")
    assert stub.Predict(asked).scores[0] == said[0]
    assert "table of ads" not in stub.Status(pb.StatusRequest()).refused
