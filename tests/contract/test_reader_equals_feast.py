"""The fast reader and `store.get_online_features` give equal values for the same stores, and the reader adds what Feast
does not do: maximum ages, defaults and a status."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from adfeast.access import RedisAccess
from adfeast.clock import ManualClock, to_ms
from adfeast.contract.definitions import Definitions
from adfeast.contract.ids import MISSING_ID, hash_id
from adfeast.contract.signature import AD, REQUEST, USER, Contract, Identity
from adfeast.contract.tensors import Status
from adfeast.feast_ext.registry import load_definitions
from adfeast.feast_ext.store import open_store
from adfeast.settings import Settings
from serving.features.columns import Features, Rows
from serving.features.dynamodb import DynamoDBTier
from serving.features.plan import compile_plan
from serving.features.reader import FeatureReader, Tiers
from serving.features.redis_cluster import redis_tier
from tests.contract.feature_rows import fill, rows
from tests.contract.watermarks import stand_at

MOMENT = datetime(2019, 11, 24, 10, 0, 0, 123000, UTC)
USERS = [f"reader-user-{i}" for i in range(20)]
ADS = [f"reader-ad-{i}" for i in range(60)]
MISSING = {"sparse": MISSING_ID, "list": MISSING_ID, "embedding": 0.0}


@pytest.fixture(scope="module", params=["server", "cluster"])
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """With the Redis tier on one server, and on a cluster of three masters."""
    if request.param == "server":
        return settings
    host, port = request.getfixturevalue("redis_cluster").addresses[0]
    return settings.model_copy(update={"redis_host": host, "redis_port": port, "redis_cluster": True})


@pytest.fixture(scope="module")
def definitions(settings: Settings) -> Definitions:
    return load_definitions(settings)


@pytest.fixture(scope="module")
def store(settings: Settings, definitions: Definitions) -> Any:
    opened = open_store(settings)
    fill(opened, definitions, {USER: USERS, AD: ADS}, MOMENT, random.Random(7))
    stand_at(settings, definitions, to_ms(MOMENT))
    return opened


def read(
    settings: Settings, definitions: Definitions, calls: Sequence[tuple[str, Sequence[str], int]]
) -> list[Features]:
    """The reader's answers, one call after the other, in an event loop of their own."""

    async def run() -> list[Features]:
        plan = compile_plan(definitions, definitions.contract(settings.feature_service))
        tiers = Tiers(redis_tier(RedisAccess.of(settings)), DynamoDBTier(settings), settings)
        reader = FeatureReader(plan, tiers, settings, ManualClock(to_ms(MOMENT)))
        try:
            await tiers.watermarks.look()
            return [await reader.read(user, ads, Rows(plan.request, 1), at) for user, ads, at in calls]
        finally:
            tiers.close()

    return asyncio.run(run())


def column(contract: Contract, features: Features, feature: Identity, row: int) -> np.ndarray[Any, Any]:
    start = 0
    for other in contract.role(feature.role):
        if other.name == feature.name:
            break
        start += other.width
    return features.tensors.of(feature.role)[row, start : start + feature.width]


def expected(feature: Identity, value: Any) -> Any:
    """What is to be logged for a value of Feast's response."""
    if feature.role == "embedding":
        return np.asarray(value, np.float32) if value else np.zeros(feature.width, np.float32)
    if feature.role == "list":
        return np.array([*(value or []), *[MISSING_ID] * feature.width][: feature.width], np.int64)
    if feature.role == "dense":
        return [np.float32(math.nan if value is None else value)]
    if value is None:
        return [MISSING_ID]
    return [hash_id(value) if isinstance(value, str) else value]


def test_values_equal_feast(settings: Settings, definitions: Definitions, store: Any) -> None:
    rng = random.Random(11)
    contract = definitions.contract(settings.feature_service)
    calls = [(user, rng.sample([*ADS, "reader-ad-nowhere"], 12), to_ms(MOMENT)) for user in [*USERS, "reader-nobody"]]
    keys = definitions.entities
    pairs = [{keys[USER]: user, keys[AD]: ad} for user, ads, _ in calls for ad in ads]
    refs = [
        f"{view.name}:{f.name}" for view in definitions.service_views(settings.feature_service) for f in view.features
    ]
    feast = store.get_online_features(features=refs, entity_rows=pairs).to_dict()
    answers = [
        (a, row)
        for a, call in zip(read(settings, definitions, calls), calls, strict=True)
        for row in range(len(call[1]))
    ]
    assert len(answers) == len(pairs) > 200
    compared = 0
    for feature in contract.inputs:
        if feature.source == REQUEST:
            continue
        for (answer, row), stored in zip(answers, feast[feature.name], strict=True):
            np.testing.assert_array_equal(
                column(contract, answer, feature, row), expected(feature, stored), feature.name
            )
            compared += stored is not None
    assert compared > 2000


def test_cached_rows_are_those_read(settings: Settings, definitions: Definitions, store: Any) -> None:
    first, second, mixed = read(
        settings,
        definitions,
        [(USERS[0], ADS[:40], to_ms(MOMENT)), (USERS[0], ADS[:40], to_ms(MOMENT)), (USERS[0], ADS[20:], to_ms(MOMENT))],
    )
    for name in ("dense", "ids", "lists", "embeddings"):
        once, again, other = (getattr(f.tensors, name) for f in (first, second, mixed))
        np.testing.assert_array_equal(once, again)
        np.testing.assert_array_equal(once[20:], other[:20])
    np.testing.assert_array_equal(first.ad_status, second.ad_status)
    np.testing.assert_array_equal(first.ad_times, second.ad_times)


def test_statuses_and_unknown(settings: Settings, definitions: Definitions, store: Any) -> None:
    (features,) = read(settings, definitions, [("reader-nobody", [ADS[0], "reader-ad-nowhere"], to_ms(MOMENT))])
    assert features.unknown_user
    assert features.unknown_ads == [1]
    assert (features.shared_status == Status.NOT_FOUND).all()
    assert (features.ad_status[1] == Status.NOT_FOUND).all()
    assert (features.ad_status[0] == Status.PRESENT).any()
    assert set(features.ad_times[0][features.ad_times[0] > 0]) == {to_ms(MOMENT)}


def test_each_view_ages_by_its_own_limit(settings: Settings, definitions: Definitions, store: Any) -> None:
    """One millisecond decides, and a value outside is logged as if it were missing."""
    contract = definitions.contract(settings.feature_service)
    views = definitions.service_views(settings.feature_service)
    user, ad = "reader-aging-user", "reader-aging-ad"
    for view in views:
        store.write_to_online_store(
            view.name, rows(view, [user if view.entity == USER else ad], MOMENT, random.Random(3))
        )
    for limit in sorted({v.max_age_s for v in views}):
        at = to_ms(MOMENT + timedelta(seconds=limit))
        inside, outside = read(settings, definitions, [(user, [ad], at), (user, [ad], at + 1)])
        for answer, moment in ((inside, at), (outside, at + 1)):
            shared = iter(answer.shared_status)
            own = iter(answer.ad_status[0])
            for feature in contract.inputs:
                status = next(own if feature.source == AD else shared)
                if feature.source == REQUEST:
                    continue
                too_old = moment - to_ms(MOMENT) > definitions.views[feature.view].max_age_s * 1000
                assert status == (Status.OUTSIDE_MAX_AGE if too_old else Status.PRESENT), feature.name
                if too_old:
                    np.testing.assert_array_equal(column(contract, answer, feature, 0), expected(feature, None))


def test_null_and_not_a_number_are_missing(settings: Settings, definitions: Definitions, store: Any) -> None:
    contract = definitions.contract(settings.feature_service)
    views = [v for v in definitions.service_views(settings.feature_service) if v.entity == AD]
    ad = "reader-ad-null"
    nulled = set()
    for view in views:
        frame = rows(view, [ad], MOMENT, random.Random(5))
        for feature in view.features:
            if feature.dtype.startswith("float") and feature.width == 1:
                frame[feature.name] = math.nan
                nulled.add(feature.name)
        store.write_to_online_store(view.name, frame)
    assert nulled
    (answer,) = read(settings, definitions, [(USERS[0], [ad], to_ms(MOMENT))])
    own = [i for i in contract.inputs if i.source == AD]
    for feature, status in zip(own, answer.ad_status[0], strict=True):
        assert status == (Status.NOT_FOUND if feature.name in nulled else Status.PRESENT), feature.name
        if feature.name in nulled:
            np.testing.assert_array_equal(column(contract, answer, feature, 0), expected(feature, None))
