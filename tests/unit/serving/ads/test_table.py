"""A table of ads: what is read is what was put, whole, whatever the writer does meanwhile and wherever it dies."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from adfeast.contract.definitions import Definitions
from adfeast.contract.signature import AD
from serving.ads import table as tables
from serving.ads.files import current_file, point, sign_file
from serving.ads.layout import TableLayout, plan_of_ads
from serving.ads.places import KEY_BYTES, bytes_an_ad
from serving.ads.served import BATCH_WITHIN_MS, CurrentTable, PlanTable
from serving.ads.table import Table, Writing, WrittenTable
from serving.errors import TableUnusable
from serving.features.columns import ROLES, Rows
from serving.features.plan import DYNAMODB, REDIS, Plan

NOW = 1_000_000
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def ads_plan(definitions: Definitions) -> Plan:
    return plan_of_ads(definitions)


@pytest.fixture
def table(ads_plan: Plan, tmp_path: Path) -> WrittenTable:
    made = WrittenTable.create(tmp_path / "t.ads", TableLayout.of(ads_plan), 1_000)
    fresh(made)
    return made


def fresh(table: WrittenTable) -> None:
    for marks in table.marks.values():
        marks[:] = NOW
    table.checked(NOW)


def filled(plan: Plan, values: Sequence[int]) -> dict[str, Rows]:
    """For each tier a row a value, which stands in all of the row."""
    found = {}
    for tier in (REDIS, DYNAMODB):
        rows = found[tier] = Rows(plan.blocks[AD, tier], len(values))
        column = np.array(values)[:, None]
        for role in ROLES:
            rows.arrays[role][:] = column
        rows.absent[:] = False
        rows.times[:] = column
    return found


def distinct(rows: Rows, i: int) -> set[float]:
    """What stands in a row."""
    found = {float(x) for array in rows.arrays.values() for x in array[i]} | {float(t) for t in rows.times[i]}
    return found | ({-1.0} if rows.absent[i].any() else set())


def test_a_plan_gets_its_own_columns_out_of_the_rows_that_were_put(
    table: WrittenTable, ads_plan: Plan, plan: Plan
) -> None:
    rows = filled(ads_plan, [7, 8])
    for tier, part in table.layout.parts.items():
        for i, column in enumerate(part.columns):
            rows[tier].arrays[column.role][:, column.offset : column.offset + column.width] += i * 10
    rows[DYNAMODB].absent[1, 0] = True
    table.put(["a", "b"], rows)
    taken = PlanTable(plan, Table(table.file), 1.0).take(["b", "nowhere", "a"], NOW, NOW)
    assert taken.lacking == [1]
    for tier, found in taken.rows.items():
        block, part = plan.blocks[AD, tier], table.layout.parts[tier]
        place = {(c.view, c.name): i for i, c in enumerate(part.columns)}
        for slot in block.slots:
            cells = found.arrays[slot.feature.role][:, slot.offset : slot.offset + slot.feature.width]
            more = 10 * place[slot.feature.view, slot.feature.name]
            assert (cells[0] == 8 + more).all()
            assert (cells[2] == 7 + more).all()
        assert found.times[[0, 2], 0].tolist() == [8, 7]
    assert [int(rows.absent[0].sum()) for rows in taken.rows.values()] == [0, 1]


def test_a_row_is_left_to_the_stores_while_it_is_written_and_after_its_writer_died_in_it(
    table: WrittenTable, ads_plan: Plan
) -> None:
    table.put(["a", "b"], filled(ads_plan, [1, 2]))
    reader = PlanTable(ads_plan, Table(table.file), 1.0)
    with Writing(table, table.find(["b"])):
        assert reader.take(["a", "b"], NOW, NOW).lacking == [1]
    assert reader.take(["a", "b"], NOW, NOW).lacking == []

    def die_in_a_row() -> None:
        other = WrittenTable(table.file)
        with Writing(other, other.find(["b"])):
            other.parts[REDIS].times[other.find(["b"])] = 99
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=die_in_a_row)
    process.start()
    process.join(10)
    assert process.exitcode == -signal.SIGKILL
    assert reader.take(["a", "b"], NOW, NOW).lacking == [1]
    successor = WrittenTable(table.file)
    assert successor.torn() == ["b"]
    successor.put(["b"], filled(ads_plan, [3]))
    assert successor.torn() == []
    taken = reader.take(["a", "b"], NOW, NOW)
    assert taken.lacking == []
    assert distinct(taken.rows[REDIS], 1) == {3}


def test_no_reader_ever_sees_a_torn_row_while_writers_are_killed(table: WrittenTable, ads_plan: Plan) -> None:
    ads = [f"ad {i}" for i in range(200)]
    table.put(ads, filled(ads_plan, [1] * 200))
    reader = PlanTable(ads_plan, Table(table.file), 1.0)

    def write_for_ever(n: int) -> None:
        writer = WrittenTable(table.file)
        while True:
            n += 1
            writer.put(ads, filled(ads_plan, [n] * 200))

    newest, used = 1.0, 0
    for _ in range(4):
        process = FORK.Process(target=write_for_ever, args=(int(newest),))
        process.start()
        enough, begun, until = used + 50, newest, time.monotonic() + 20
        while (used < enough or newest < begun + 3) and time.monotonic() < until:
            taken = reader.take(ads, NOW, NOW)
            for i in sorted({0, 63, 64, 150, 199} - set(taken.lacking)):
                values = distinct(taken.rows[REDIS], i) | distinct(taken.rows[DYNAMODB], i)
                assert len(values) == 1
                newest, used = max(newest, *values), used + 1
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        taken = reader.take(ads, NOW, NOW)
        assert taken.lacking == [ads.index(ad) for ad in WrittenTable(table.file).torn()]
    assert used >= 200
    assert newest > 12


def test_a_slot_that_a_dying_writer_gave_away_goes_to_no_other_ad(
    table: WrittenTable, ads_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(Exception):
        pass

    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(WrittenTable, "_publish", die)
        with pytest.raises(Died):
            table.put(["a"], filled(ads_plan, [1]))
    successor = WrittenTable(table.file)
    successor.put(["b", "a"], filled(ads_plan, [2, 3]))
    reader = Table(table.file)
    assert reader.find(["a", "b"]).tolist() == [2, 1]
    assert len(reader) == 3


def test_ads_come_in_while_there_is_room_and_ids_that_do_not_fit_are_left_out(ads_plan: Plan, tmp_path: Path) -> None:
    table = WrittenTable.create(tmp_path / "small.ads", TableLayout.of(ads_plan), 4)
    odd = ["", "x" * (KEY_BYTES + 1), "ends with a zero\0", "\N{SNOWMAN}" * (KEY_BYTES // 3), "b", "c", "d", "e"]
    table.put(odd, filled(ads_plan, range(8)))
    assert Table(table.file).find(odd).tolist() == [-1, -1, -1, 0, 1, 2, 3, -1]
    assert table.room == 0
    table.put(["d", "f"], filled(ads_plan, [50, 60]))
    fresh(table)
    taken = PlanTable(ads_plan, Table(table.file), 1.0).take(["f", "d"], NOW, NOW)
    assert taken.lacking == [0]
    assert distinct(taken.rows[REDIS], 1) == {50}


def test_ads_whose_hashes_collide_are_told_apart(
    table: WrittenTable, ads_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_hash", lambda key: len(key) << 60 | 2047)
    ads = [f"{i:03}" for i in range(300)]
    table.put(ads, filled(ads_plan, range(300)))
    assert Table(table.file).find(["nil", *ads]).tolist() == [-1, *range(300)]


def test_a_tier_that_is_behind_is_left_to_the_stores(table: WrittenTable, ads_plan: Plan) -> None:
    table.put(["a"], filled(ads_plan, [1]))
    reader = PlanTable(ads_plan, Table(table.file), 1.0)
    [view] = ads_plan.blocks[AD, REDIS].views
    assert view.fresh_within_s is not None
    late = NOW + view.fresh_within_s * 1000
    assert set(reader.take(["a"], late, late).rows) == {REDIS, DYNAMODB}
    assert set(reader.take(["a"], late + 1, late + 1).rows) == {DYNAMODB}
    table.marks[REDIS][:] = 0
    assert set(reader.take(["a"], NOW, NOW).rows) == {DYNAMODB}
    late = NOW + BATCH_WITHIN_MS + 1
    assert reader.take(["a"], late, late).rows == {}
    table.marks[REDIS][:] = late
    assert set(reader.take(["a"], late, late).rows) == {REDIS}


def test_a_file_that_is_no_table_or_of_an_earlier_boot_is_not_used(
    table: WrittenTable, ads_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in (b"", b"x" * 10, b"x" * 1_000):
        (tmp_path / "other").write_bytes(text)
        with pytest.raises(TableUnusable):
            Table(tmp_path / "other")
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(tables, "_BOOT", tmp_path / "boot")
    with pytest.raises(TableUnusable, match="earlier boot"):
        Table(table.file)


def test_servers_follow_the_link_and_keep_what_they_have_mapped(
    table: WrittenTable, ads_plan: Plan, tmp_path: Path
) -> None:
    current = CurrentTable(tmp_path, "p")
    asyncio.run(current.look())
    assert current.table is None
    table.put(["a"], filled(ads_plan, [1]))
    first, second = (tmp_path / f"p-{name}.ads" for name in ("one", "two"))
    table.file.rename(first)
    point(tmp_path, "p", first)
    asyncio.run(current.look())
    kept = current.table
    assert kept is not None
    WrittenTable.create(second, TableLayout.of(ads_plan), 10)
    point(tmp_path, "p", second)
    asyncio.run(current.look())
    assert current.table is not None
    assert current.table.capacity == 10
    assert [f.name for f in tmp_path.glob("p-*")] == ["p-two.ads"]
    assert kept.find(["a"]).tolist() == [0]
    current_file(tmp_path, "p").unlink()
    asyncio.run(current.look())
    assert current.table is None


def test_a_server_waits_for_a_keeper_that_is_at_work_and_for_none_that_is_dead(
    table: WrittenTable, tmp_path: Path
) -> None:
    current, sign = CurrentTable(tmp_path, "p"), sign_file(tmp_path, "p")

    def found() -> tuple[bool, str]:
        asyncio.run(current.look())
        return current.waits, current.problem

    assert found() == (False, "")  # there never was one
    sign.write_text("a table is being filled\n")
    assert found() == (True, "table of ads: a table is being filled")
    sign.write_text("\n1 ad\n")
    assert found() == (True, "")  # nothing is current yet
    table.file.rename(tmp_path / "p-1.ads")
    point(tmp_path, "p", tmp_path / "p-1.ads")
    assert found() == (False, "")
    sign.write_text("a table is being filled\n")
    os.utime(sign, (1, 1))
    waits, problem = found()
    assert not waits
    assert "the last turn of its keeper is" in problem
    assert CurrentTable(None, "p").waits is False


def test_what_is_not_used_takes_no_memory(ads_plan: Plan, tmp_path: Path) -> None:
    layout = TableLayout.of(ads_plan)
    table = WrittenTable.create(tmp_path / "large.ads", layout, 1_000_000)
    assert table.file.stat().st_size > 1_000_000 * bytes_an_ad(layout)
    assert table.file.stat().st_blocks * 512 < 1 << 20
