"""The bytes of feature rows; the Java twin (RowFunctionsTest.java) is tested with the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adfeast.contract.rows import Layout, known_layouts, record_layouts
from adfeast.settings import Settings
from tests.unit.streaming.jobs.test_sql import definitions

MADE = ("sum(price) of bids, 60s by 5s", "session_count(price) of bids, 30s by 30s")
LAYOUT = Layout("shop_bids", "shop_id", (("spent", "DOUBLE", MADE[0]), ("visit", "BIGINT", MADE[1])))
AT = 1_574_500_000_123
ROW = "015f519396065d99407b6183976e010000000000000000f83ffdffffffffffffff"
MARK = "015f519396065d99407b6183976e010000"


def test_rows_have_the_bytes_that_java_writes() -> None:
    assert LAYOUT.id.hex() == "5f519396065d9940"
    assert LAYOUT.encode(AT, [1.5, -3]).hex() == ROW
    assert LAYOUT.encode(AT, None).hex() == MARK
    assert LAYOUT.decode(bytes.fromhex(ROW)) == (AT, {"spent": 1.5, "visit": -3})
    assert LAYOUT.decode(bytes.fromhex(MARK)) == (AT, {})
    for bad in (ROW[2:], ROW + "00", "02" + ROW[2:], ""):
        with pytest.raises(ValueError, match="no row of shop_bids"):
            LAYOUT.decode(bytes.fromhex(bad))


def test_an_id_follows_everything_that_makes_a_row_another() -> None:
    assert Layout.from_json(LAYOUT.text) == LAYOUT
    others = [
        replace(LAYOUT, view="other"),
        replace(LAYOUT, join_key="other"),
        replace(LAYOUT, columns=LAYOUT.columns[::-1]),
        replace(LAYOUT, columns=(LAYOUT.columns[0], ("visit", "BIGINT", "another window"))),
    ]
    assert len({x.id for x in [LAYOUT, *others]}) == 5


def test_every_layout_there_ever_was_is_known(tmp_path: Path) -> None:
    settings = Settings(registry_url=f"sqlite:///{tmp_path}/registry.db")
    view = definitions().views["shop_bids"]
    grown = replace(view, features=(*view.features, replace(view.features[0], name="added")))
    for each in (view, grown, view):
        record_layouts(settings, [each])
    assert set(known_layouts(settings, "shop_bids")) == {Layout.of(view), Layout.of(grown)}
    assert known_layouts(settings, "another") == []
