"""The table of ads and `store.get_online_features` give equal values while the Redis writer and materialization work.

A keeper with its own process is killed on the way; what it had written is taken up again.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from adfeast.clock import ManualClock, SystemClock, to_ms
from adfeast.contract.definitions import Definitions, View
from adfeast.contract.rows import Layout, record_layouts, watermark_key
from adfeast.contract.signature import AD
from adfeast.contract.topics import features_topic
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import open_store
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from serving.ads.files import sign_of
from serving.ads.layout import plan_of_ads
from serving.ads.served import CurrentTable, PlanTable
from serving.features.columns import Features, assemble
from serving.features.freshness import Watermarks
from serving.features.plan import DYNAMODB, REDIS
from serving.features.redis import RedisTier
from streaming.redis_writer.writer import RedisWriter
from tests.contract.feature_rows import rows
from tests.contract.test_reader_equals_feast import column, expected

MOMENT = datetime(2019, 11, 24, 10, 0, 0, 123000, UTC)
ADS = [f"table-ad-{i}" for i in range(40)]


@pytest.fixture(scope="module")
def definitions(settings: Settings) -> Definitions:
    return load_definitions(settings)


@pytest.fixture(scope="module")
def store(settings: Settings) -> Any:
    return open_store(settings)


@pytest.fixture
def own(settings: Settings, definitions: Definitions, tmp_path: Path) -> Settings:
    record_layouts(settings, (v for v in definitions.views.values() if v.kind == "stream"))
    more = {"ad_table": tmp_path / "ads", "ad_table_rows": 1_000, "ledger_url": f"sqlite:///{tmp_path}/ledger.db"}
    return settings.model_copy(update=more)


@contextmanager
def writing(settings: Settings, definitions: Definitions) -> Iterator[None]:
    stop = threading.Event()
    running = threading.Thread(
        target=RedisWriter(settings, lambda: definitions, SystemClock()).run, args=(stop,), daemon=True
    )
    running.start()
    yield
    stop.set()
    running.join(30)


@contextmanager
def keeping(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    names = ("ad_table", "ad_table_rows", "ledger_url")
    more = {f"ADFEAST_{name.upper()}": str(getattr(settings, name)) for name in names}
    code = "from cli.main import main; main(['ads', 'keep'])"
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | more, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def eventually(check: Callable[[], object], deadline_s: float = 60) -> None:
    until = time.monotonic() + deadline_s
    while not check():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)


class Streams:
    """Sends rows of the stream views of ads, and watermarks behind them."""

    def __init__(self, settings: Settings, definitions: Definitions) -> None:
        self._producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
        self._settings = settings
        self.views = [v for v in definitions.views.values() if v.kind == "stream" and v.entity == AD]
        self._rng = random.Random(5)

    def send(self, ms: int, n: int) -> None:
        for _ in range(n):
            view = self._rng.choice(self.views)
            layout, late = Layout.of(view), self._rng.choice((0, 0, 1, 40))
            values = [self._rng.choice((0, 3, 17, 2**40)) for _ in layout.columns]
            self._put(view, self._rng.choice(ADS).encode(), layout.encode(ms - late, values))

    def send_all(self, ms: int) -> None:
        """A row of each ad."""
        for ad in ADS:
            view = self._rng.choice(self.views)
            self._put(view, ad.encode(), Layout.of(view).encode(ms, [5] * len(view.features)))

    def mark(self, ms: int) -> None:
        for view in self.views:
            self._put(view, watermark_key(0, 1), Layout.of(view).encode(ms, None))
        assert self._producer.flush(20) == 0

    def _put(self, view: View, key: bytes, value: bytes) -> None:
        self._producer.produce(features_topic(self._settings.project, view.name), value, key)
        self._producer.poll(0)


class Reading:
    """What a server finds in the table."""

    def __init__(self, settings: Settings, definitions: Definitions) -> None:
        self.plan, self._settings = plan_of_ads(definitions), settings
        self._current = CurrentTable(settings.ad_table, settings.project)

    def table(self, at_ms: int) -> tuple[Features, list[int]] | None:
        """All ads and the positions of those it lacks; None while it does not vouch for both tiers."""
        asyncio.run(self._current.look())
        if self._current.table is None:
            return None
        taken = PlanTable(self.plan, self._current.table, 1.0).take(ADS, at_ms, SystemClock().now_ms())
        if len(taken.rows) < 2:
            return None
        parts = [(AD, self.plan.blocks[AD, tier], taken.rows[tier]) for tier in (REDIS, DYNAMODB)]
        clock = ManualClock(at_ms)
        return assemble(self.plan, parts, len(ADS), at_ms, clock.now_ms()), taken.lacking

    def redis_stands_at(self, ms: int) -> bool:
        async def look() -> list[int | None]:
            tier = RedisTier(self._settings.redis_host, self._settings.redis_port)
            known = Watermarks(tier, self._settings.project)
            await known.look()
            tier.close()
            return [known.of(view.name) for view in self.plan.stream_views]

        return all(at is not None and at >= ms for at in asyncio.run(look()))


def publish(settings: Settings, store: Any, definitions: Definitions, end: datetime, seed: int) -> None:
    """As materialization does: online rows, and then the ledger says that they are."""
    for view in definitions.views.values():
        if view.kind == "batch" and view.entity == AD:
            with Ledger(settings, SystemClock()).claim(
                "batch_view", view.name, view.digest, end - timedelta(days=1), end
            ) as claim:
                assert claim is not None
                store.write_to_online_store(view.name, rows(view, ADS[seed % 3 :], end, random.Random(seed)))


class Compared:
    """The table beside `get_online_features`, for all ads."""

    def __init__(self, settings: Settings, definitions: Definitions, store: Any) -> None:
        self.reading, self._store, self._join_key = Reading(settings, definitions), store, definitions.entities[AD]
        self._settings = settings

    def at_work(self) -> bool:
        """Whether there is a table that a keeper follows."""
        sign = sign_of(Path(str(self._settings.ad_table)), self._settings.project)
        return sign is not None and sign.text == ""

    def equal(self, at_ms: int) -> int:
        """How many values were compared; an AssertionError where the table is behind, or other than Feast."""
        contract = self.reading.plan.contract
        assert self.at_work()
        found = self.reading.table(at_ms)
        assert found is not None, "the table does not vouch for both tiers"
        features, lacking = found
        refs = [f"{i.view}:{i.name}" for i in contract.inputs]
        pairs = [{self._join_key: ad} for ad in ADS]
        feast = self._store.get_online_features(features=refs, entity_rows=pairs).to_dict()
        compared = 0
        for feature in contract.inputs:
            for i, stored in enumerate(feast[feature.name]):
                if i not in lacking:
                    is_so = column(contract, features, feature, i)
                    np.testing.assert_array_equal(is_so, expected(feature, stored), feature.name)
                    compared += stored is not None
        return compared

    def becomes_equal(self, at_ms: int, deadline_s: float = 60) -> int:
        """As soon as the stores and the table have heard of everything, which nobody adds to any more."""
        until = time.monotonic() + deadline_s
        while True:
            try:
                return self.equal(at_ms)
            except AssertionError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.2)


def test_the_table_equals_feast_while_everything_changes_and_its_keeper_is_killed(
    own: Settings, definitions: Definitions, store: Any, tmp_path: Path
) -> None:
    at, log = to_ms(MOMENT), tmp_path / "keeper.log"
    streams, compared = Streams(own, definitions), Compared(own, definitions, store)

    def all_came(ms: int) -> int:
        streams.mark(ms)
        eventually(lambda: compared.reading.redis_stands_at(ms))
        return compared.becomes_equal(ms + 14_999)

    with writing(own, definitions):
        publish(own, store, definitions, MOMENT - timedelta(hours=3), 0)
        streams.send(at - 60_000, 200)
        with keeping(own, log):
            eventually(compared.at_work)
            streams.send_all(at - 60_000)
            assert all_came(at) > 300
            for n in (1, 2):  # and is killed while the second is under way
                end = MOMENT - timedelta(hours=3 - n)
                changing = threading.Thread(target=publish, args=(own, store, definitions, end, n))
                changing.start()
                for _ in range(10):
                    streams.send(at + n * 60_000 - 100, 100)
                if n == 1:
                    changing.join()
                    assert all_came(at + 60_000) > 300
        changing.join()
        streams.send(at + 3 * 60_000 - 100, 200)
        with keeping(own, log):
            assert all_came(at + 3 * 60_000) > 300
    assert log.read_text().count("a new table of ads is filled") == 1
