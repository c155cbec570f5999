from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_ID, EVENT_TIME, IMPRESSION_ID, IMPRESSIONS, EventCodec
from adfeast.settings import Settings
from demo.errors import MissingMapping
from demo.traffic.catalogue import EMBEDDING, deliver, embed, embedding_width
from demo.traffic.open_bandit import DELAY_MEDIAN_S, DELAY_P99_S, OpenBandit, click_delays_ms, read

pytestmark = pytest.mark.slow  # the data set is downloaded the first time


def test_every_row_becomes_one_impression_and_every_click_one_event(data: OpenBandit) -> None:
    clicks = [a.click for a in data.auctions if a.click]
    assert (len(data.auctions), len(clicks)) == (60_000, 287)
    assert len({a.impression[EVENT_ID] for a in data.auctions}) == 60_000
    assert len({c[EVENT_ID] for c in clicks}) == 287
    assert [a.time_ms for a in data.auctions] == sorted(a.time_ms for a in data.auctions)
    assert Counter(len(a.ad_ids) for a in data.auctions) == {80: 20_000, 34: 20_000, 46: 20_000}
    assert (data.users.num_rows, data.ads.num_rows) == (280 + 265 + 245, 80 + 34 + 46)


def test_a_click_follows_its_own_impression(data: OpenBandit) -> None:
    for a in data.auctions:
        if a.click:
            shared = [c for c in a.click if c in a.impression and c not in (EVENT_ID, EVENT_TIME)]
            assert all(a.click[c] == a.impression[c] for c in shared)
            assert a.click[IMPRESSION_ID] == a.impression[EVENT_ID]
            assert a.click[EVENT_TIME] > a.time_ms


def test_the_events_fit_their_schemas(data: OpenBandit, definitions: Definitions) -> None:
    impressions = EventCodec(IMPRESSIONS, definitions.events[IMPRESSIONS])
    clicks = EventCodec(CLICKS, definitions.events[CLICKS])
    for a in data.auctions:
        impressions.encode(a.impression)
        if a.click:
            assert clicks.decode(clicks.encode(a.click)) == a.click


def test_the_shown_ad_is_a_candidate(data: OpenBandit, definitions: Definitions) -> None:
    join_keys = set(definitions.entities.values())
    ids = {name: {a.impression[name] for a in data.auctions} for name in join_keys}
    tables = {t.column_names[0]: set(t.column(0).to_pylist()) for t in (data.users, data.ads)}
    assert ids == tables
    assert all(set(a.ad_ids) & set(a.impression.values()) for a in data.auctions)


def test_the_request_features_are_all_filled(data: OpenBandit, definitions: Definitions) -> None:
    features = {f.name: f for source in definitions.request_sources.values() for f in source}
    python = {"string": str, "int64": int, "float32": float, "float64": float}
    for a in data.auctions[::97]:
        assert a.context.keys() == features.keys()
        assert all(isinstance(v, python[features[k].dtype]) for k, v in a.context.items())


def test_a_column_without_mapping_is_named(folder: Path, definitions: Definitions) -> None:
    schema = {**definitions.events[IMPRESSIONS]}
    schema["fields"] = [*schema["fields"], {"name": "weather", "type": "string"}]
    with pytest.raises(MissingMapping, match="weather"):
        read(folder, replace(definitions, events={**definitions.events, IMPRESSIONS: schema}))


def test_reading_twice_gives_the_same_bits(data: OpenBandit, folder: Path, definitions: Definitions) -> None:
    again = read(folder, definitions)
    assert again.auctions == data.auctions
    width = embedding_width(definitions)
    assert np.array_equal(embed(again.ads, width), embed(data.ads, width))


def test_another_seed_moves_the_clicks_and_nothing_else(
    data: OpenBandit, folder: Path, definitions: Definitions
) -> None:
    other = read(folder, definitions, seed=7)
    assert [a.impression for a in other.auctions] == [a.impression for a in data.auctions]
    assert [a.click for a in other.auctions] != [a.click for a in data.auctions]


def test_click_delays_follow_the_documented_distribution() -> None:
    delays = click_delays_ms(200_000, 3) / 1000
    assert np.median(delays) == pytest.approx(DELAY_MEDIAN_S, rel=0.02)
    assert np.quantile(delays, 0.99) == pytest.approx(DELAY_P99_S, rel=0.05)


def test_embeddings_have_length_one_and_keep_equal_ads_together(data: OpenBandit, definitions: Definitions) -> None:
    vectors = embed(data.ads, embedding_width(definitions))
    assert vectors.shape == (data.ads.num_rows, embedding_width(definitions))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    campaign = np.asarray(data.ads.column(1).to_pylist())
    same = campaign[:, None] == campaign[None, :]
    likeness = vectors @ vectors.T
    assert likeness[same].mean() > likeness[~same].mean()


def test_a_delivery_written_twice_stands_once(data: OpenBandit, definitions: Definitions, tmp_path: Path) -> None:
    settings = Settings(lake=str(tmp_path))
    tables = {n: replace(t, url=str(tmp_path / "tables" / n)) for n, t in definitions.tables.items()}
    here = replace(definitions, tables=tables)
    at = datetime(2019, 11, 24, tzinfo=UTC)
    assert deliver(settings, here, data, at) == deliver(settings, here, data, at) == {"users": 790, "ads": 160}
    ads = pq.read_table(tmp_path / "tables" / "ads")
    assert ads.num_rows == 160
    assert len(ads[EMBEDDING][0]) == embedding_width(definitions)
    assert ads[EVENT_TIME][0].as_py() == at
