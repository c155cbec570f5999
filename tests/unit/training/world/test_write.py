"""A world is written in the columns that the definitions declare, and a model's data set reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, IMPRESSIONS, EventCodec
from adfeast.contract.ids import hash_id
from adfeast.contract.signature import Signature
from adfeast.feast_ext.repo import declared
from adfeast.settings import Settings
from training.errors import WorldError
from training.model.dataset import Part, TrainingSet
from training.world.spec import WorldSpec
from training.world.traffic import World, make
from training.world.write import COLUMNS, Written, write

WINDOW_S = 1800.0


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return declared(Settings())


@pytest.fixture(scope="module")
def world() -> World:
    return make(WorldSpec(impressions=3_000, users=300, ads=60, click_rate=0.1, days=1))


@pytest.fixture(scope="module")
def written(world: World, definitions: Definitions, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(world, definitions, "ctr_v1", tmp_path_factory.mktemp("world"), WINDOW_S)


@pytest.mark.parametrize("topic", [IMPRESSIONS, CLICKS])
def test_events_are_ones_that_the_platform_takes(topic: str, written: Written, definitions: Definitions) -> None:
    rows = pq.read_table(f"{written.path}/{topic}.parquet").to_pylist()
    assert len(rows) == {IMPRESSIONS: written.impressions, CLICKS: written.clicks}[topic]
    codec = EventCodec(topic, definitions.events[topic])
    assert codec.decode(codec.encode(rows[0])) == rows[0]
    assert len({row["event_id"] for row in rows}) == len(rows)


def test_every_click_names_its_impression(world: World, written: Written) -> None:
    shown = {r["event_id"]: r for r in pq.read_table(f"{written.path}/{IMPRESSIONS}.parquet").to_pylist()}
    clicks = pq.read_table(f"{written.path}/{CLICKS}.parquet").to_pylist()
    for click in clicks:
        impression = shown[click["impression_id"]]
        assert click["ad_id"] == impression["ad_id"]
        assert click["event_timestamp"] > impression["event_timestamp"]


def test_the_training_set_is_what_a_model_reads(world: World, written: Written, definitions: Definitions) -> None:
    whole = definitions.signature("ctr_v1")
    known = Signature("ctr_v1", tuple(i for i in whole.inputs if i.name in COLUMNS["features"]))
    assert {"content_embedding", "item_score", "ad_key"} <= {i.name for i in known.inputs}
    data = TrainingSet(f"{written.path}/training_set", known, fractions=(1.0, 0.0, 0.0))
    rows = data.read(Part.TRAIN)
    assert data.label.tolist() == (world.impressions.delay_s <= WINDOW_S).tolist()
    assert data.label.sum() == written.labelled < written.clicks
    at = [i.name for i in known.role("sparse")].index("ad_key")
    shown = world.impressions.ad[: len(rows.label)]  # the last page begins the next part
    assert rows.tensors.ids[:, at].tolist() == [hash_id(f"a-{ad}") for ad in shown]
    unit = np.linalg.norm(rows.tensors.embeddings, axis=1)
    assert unit == pytest.approx(1.0, abs=1e-5)


def test_a_share_of_the_negatives_stands_for_all(
    world: World, written: Written, definitions: Definitions, tmp_path: Path
) -> None:
    few = write(world, definitions, "ctr_v1", tmp_path, WINDOW_S, negatives=0.2)
    rows = pq.read_table(f"{few.path}/training_set", columns=["impression_id", "label", "weight"]).to_pandas()
    assert rows.label.sum() == few.labelled == written.labelled
    assert len(rows) < 0.3 * written.impressions
    assert set(rows.weight[rows.label == 1]) == {1.0}
    assert rows.weight.sum() == pytest.approx(written.impressions, rel=0.2)
    whole = pq.read_table(f"{written.path}/training_set", columns=["weight"])["weight"].to_numpy()
    assert (whole == 1.0).all()
    known = Signature("ctr_v1", tuple(i for i in definitions.signature("ctr_v1").inputs if i.name == "device"))
    rates = [TrainingSet(f"{w.path}/training_set", known).rate(Part.TRAIN) for w in (written, few)]
    assert rates[1] == pytest.approx(rates[0], rel=0.2)


def test_a_column_that_nothing_fills_is_named(world: World, definitions: Definitions, tmp_path: Path) -> None:
    schema = definitions.events[IMPRESSIONS]
    more = {**schema, "fields": [*schema["fields"], {"name": "viewport", "type": "string"}]}
    with pytest.raises(WorldError, match="impressions have a column 'viewport'"):
        write(world, replace(definitions, events=definitions.events | {IMPRESSIONS: more}), "ctr_v1", tmp_path, 60)
