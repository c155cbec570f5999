"""A table holds what Redis will hold and what DynamoDB holds, however changes, deaths and absences fall together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adfeast.contract.definitions import Definitions
from adfeast.contract.event_rules import AHEAD_MS
from adfeast.contract.rows import Layout, record_layouts
from adfeast.feast_ext.online_layout import redis_watermarks_key
from serving.ads.files import current_file, offsets_file, sign_file
from serving.ads.table import Writing, WrittenTable
from tests.contract.watermarks import watermark_fields
from tests.unit.serving.ads.keeping import NOW, World
from tests.unit.serving.conftest import feature


@pytest.fixture
def world(definitions: Definitions, tmp_path: Path) -> World:
    return World(definitions, tmp_path)


def test_a_new_table_is_the_stores_and_what_came_since(world: World) -> None:
    world.in_redis("a", NOW - 500, a_count=1, a_rate=0.5)
    world.in_dynamodb("a", NOW - 500, 7.0)
    world.in_dynamodb("b", NOW - 500, 8.0)
    world.ledger.in_lake = ["a", "b"]
    world.send("a", NOW - 500, 1, 0.5)  # in Redis
    world.topics.committed = {(world.topic, 0): 1}
    world.send("b", NOW - 300, 2, 0.25)  # not yet
    world.send("c", NOW - 300, 3, 0.125)
    world.mark(NOW)
    assert world.table() is None
    world.run()
    assert world.read("a", "b", "c", "d") == {
        "a_count": [1, 2, 3, None],
        "a_rate": [0.5, 0.25, 0.125, None],
        "a_score": [7, 8, None, None],
    }
    assert world.keeper.problem == ""
    said = sign_file(world.folder, "project").read_text().splitlines()
    assert said[0] == ""
    assert said[1].startswith("3 ads of 50, ")


def test_a_new_table_is_as_fresh_as_redis_was_before_it_though_no_mark_has_come_since(world: World) -> None:
    world.in_redis("a", NOW - 500, a_count=1, a_rate=0.5)
    world.ledger.in_lake = ["a"]
    world.mark(NOW)
    world.topics.committed = {(world.topic, 0): 1}
    world.redis.hashes[redis_watermarks_key("project")] = watermark_fields(["a_fast"], NOW - 14_000)
    world.run()
    assert world.read("a", at_ms=NOW + 1_000)["a_count"] == [1]
    assert "a_count" not in world.read("a", at_ms=NOW + 1_001)


def test_the_later_row_wins_and_of_equals_the_one_that_came_later(world: World) -> None:
    world.topics.at_once = 1
    for ms, value in ((NOW - 50, 1), (NOW - 90, 2), (NOW - 50, 3), (NOW - 51, 4)):
        world.send("a", ms, value, 0)
    world.mark(NOW)
    world.run(8)
    assert world.read("a")["a_count"] == [3]


def test_rows_that_the_redis_writer_refuses_are_left_out(world: World) -> None:
    world.send("a", NOW - 50, 1, 0.5)
    world.send("a", NOW + AHEAD_MS + 60_000, 2, 0.5)
    world.send("", NOW, 3, 0.5)
    world.send("a", 0, 4, 0.5)
    world.topics.send(world.topic, b"a", b"")
    world.topics.send(world.topic, b"a", world.layout.encode(NOW, (5, 0.5))[:-1])
    world.topics.send(world.topic, b"a", b"\x01notknown" + bytes(24))
    world.topics.send(world.topic, b"\xff\xfe", world.layout.encode(NOW, (6, 0.5)))
    world.mark(NOW)
    world.run()
    assert world.read("a")["a_count"] == [1]
    assert world.keeper.problem == ""


def test_values_are_those_that_a_reader_of_redis_makes_of_them(world: World) -> None:
    for i, rate in enumerate((1e300, float("nan"), float("-inf"), 0.1)):
        world.send(f"ad {i}", NOW, 2**40 + 1, rate)
    world.mark(NOW)
    world.run()
    found = world.read("ad 0", "ad 1", "ad 2", "ad 3")
    assert found["a_rate"][:3] == [None, None, None]
    assert found["a_rate"][3] == pytest.approx(0.1, abs=1e-8)
    assert found["a_count"] == [float(2**40)] * 4


def test_a_former_layouts_row_leaves_alone_what_it_lacks_and_what_todays_job_wrote(world: World) -> None:
    view = world.definitions.views["a_fast"]
    former = replace(view, features=view.features[:1])
    record_layouts(world.settings, [former])
    world.in_redis("a", NOW - 99, a_count=1, a_rate=0.5)
    world.send("a", NOW - 70, 2, layout=Layout.of(former))
    world.send("b", NOW - 10, 5, 0.25)
    world.mark(NOW - 10)
    world.run()
    assert world.read("a", "b")["a_rate"] == [0.5, 0.25]
    assert world.read("a", "b")["a_count"] == [2, 5]
    world.send("b", NOW - 10, 9, layout=Layout.of(former))
    world.run()
    assert world.read("b")["a_count"] == [5]


def test_published_batch_values_are_read_again_and_new_ads_come_in(world: World) -> None:
    world.in_dynamodb("a", NOW - 500, 7.0)
    world.ledger.in_lake = ["a"]
    world.mark(NOW)
    world.run()
    world.in_dynamodb("a", NOW - 100, 70.0)
    world.in_dynamodb("b", NOW - 100, 80.0)
    world.in_redis("b", NOW - 100, a_count=4, a_rate=0.5)
    world.run()
    assert world.read("a", "b")["a_score"] == [7, None]
    world.ledger.in_lake = ["a", "b"]
    world.ledger.published.add(("a_old", "today"))
    world.run()
    assert world.read("a", "b")["a_score"] == [70, 80]
    assert world.read("a", "b")["a_count"] == [None, 4]


def test_a_store_that_is_away_holds_up_the_watermark_and_nothing_is_left_out(world: World) -> None:
    world.in_redis("a", NOW - 500, a_count=1, a_rate=0.5)
    world.ledger.in_lake = ["a"]
    world.mark(NOW - 60_000)
    world.run()
    world.send("b", NOW, 2, 0.25)
    world.mark(NOW)
    world.redis.down = True
    world.run(1)
    assert "down" in world.keeper.problem
    assert "down" in sign_file(world.folder, "project").read_text()
    assert "a_count" not in world.read("a", "b")  # the table does not vouch for it
    world.redis.down = False
    world.run()
    assert world.read("a", "b")["a_count"] == [1, 2]


def test_a_keeper_that_died_is_taken_up_from_the_file(world: World) -> None:
    world.ledger.in_lake = ["a", "b"]
    world.in_redis("a", NOW - 500, a_count=1, a_rate=0.5)
    world.in_redis("b", NOW - 500, a_count=2, a_rate=0.5)
    world.mark(NOW)
    world.run()
    file = current_file(world.folder, "project").resolve()
    table = WrittenTable(file)
    Writing(table, table.find(["b"])).__enter__()  # and never left
    world.redis.hashes.clear()
    world.in_redis("b", NOW - 400, a_count=20, a_rate=0.5)
    world.send("a", NOW - 300, 3, 0.5)
    world.mark(NOW + 1)
    world.ledger.in_lake = []
    world.start()
    world.run()
    assert current_file(world.folder, "project").resolve() == file
    assert world.read("a", "b")["a_count"] == [3, 20]


def test_a_row_that_was_torn_is_followed_from_where_redis_is_before_it_is_vouched_for(world: World) -> None:
    world.topics.committed = {(world.topic, 0): 0}
    world.send("a", NOW - 300, 3, 0.5)  # which the writer has still to write
    world.mark(NOW)
    world.run()
    table = WrittenTable(current_file(world.folder, "project").resolve())
    Writing(table, table.find(["a"])).__enter__()
    world.topics.at_once = 0
    world.start()
    world.run(1)
    assert "a_count" not in world.read("a")
    assert world.keeper.problem == "catching up with the feature topics"
    world.topics.at_once = 10
    world.run()
    assert world.read("a")["a_count"] == [3]


@pytest.mark.parametrize("cause", ["no offsets", "older than kafka", "newer than kafka", "another size"])
def test_a_file_that_cannot_be_taken_up_is_filled_anew(world: World, cause: str) -> None:
    world.send("a", NOW - 300, 3, 0.5)
    world.mark(NOW)
    world.run()
    file = current_file(world.folder, "project").resolve()
    if cause == "no offsets":
        offsets_file(file).unlink()
    if cause == "older than kafka":
        offsets_file(file).write_text(json.dumps({f"{world.topic}/0": 0}))
        world.topics.first[world.topic] = 1
    if cause == "newer than kafka":
        offsets_file(file).write_text(json.dumps({f"{world.topic}/0": 99}))
    if cause == "another size":
        world.settings = world.settings.model_copy(update={"ad_table_rows": 60})
    world.in_redis("a", NOW - 300, a_count=3, a_rate=0.5)
    world.clock.advance(1)
    world.start()
    world.run()
    assert current_file(world.folder, "project").resolve() != file
    assert not file.exists()
    assert world.read("a")["a_count"] == [3]


def test_another_layout_is_filled_beside_the_table_that_serves_and_follows_what_came_meanwhile(world: World) -> None:
    world.send("a", NOW - 300, 3, 0.5)
    world.mark(NOW)
    world.run()
    before = current_file(world.folder, "project").resolve()
    view = world.definitions.views["a_fast"]
    wider = replace(view, features=(*view.features, feature("a_more", "int64", "dense")))
    record_layouts(world.settings, [wider])
    world.definitions = replace(world.definitions, views={**world.definitions.views, "a_fast": wider})
    world.run(1)  # seen once: an apply may be at work
    assert current_file(world.folder, "project").resolve() == before
    world.redis.down = True
    world.run(2)
    world.send("a", NOW - 100, 4, 0.5, 9)
    world.run(2)
    assert current_file(world.folder, "project").resolve() == before
    assert "ads" in world.keeper.problem or "down" in world.keeper.problem
    world.redis.down = False
    world.mark(NOW)
    world.run()
    assert current_file(world.folder, "project").resolve() != before
    assert world.read("a") == {"a_count": [4], "a_rate": [0.5], "a_more": [9], "a_score": [None]}


def test_a_full_table_serves_what_it_has(world: World) -> None:
    world.ledger.in_lake = [f"ad {i}" for i in range(60)]
    for i in (0, 59):
        world.in_redis(f"ad {i}", NOW - 500, a_count=i, a_rate=0.5)
    world.mark(NOW)
    world.run()
    world.send("another", NOW, 5, 0.5)
    world.send("ad 0", NOW, 6, 0.5)
    world.ledger.published.add(("a_old", "today"))
    world.run()
    assert world.read("ad 0", "ad 59", "another")["a_count"] == [6, None, None]
    assert world.keeper.problem == ""
