"""The Open Bandit Dataset as what an ad platform sees: auctions, impressions, clicks, users and ads.

60,000 impressions of ZOZOTOWN, 24 to 30 November 2019, in three campaigns (all, men, women) under two policies. A user
is the tuple of hashed user features of a campaign, an ad is an item of a campaign, the candidates of an auction are the
campaign's items. Click times are not in the data: the delay from impression to click is **synthetic**, lognormal with
median 20 s and a 99th percentile of 5 minutes, drawn from a seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import yaml

from adfeast.clock import to_datetime
from adfeast.contract.definitions import Definitions
from adfeast.contract.events import CLICKS, EVENT_TIME, IMPRESSIONS
from adfeast.contract.ids import DUCKDB_HASH_ID
from demo.errors import MissingMapping

CAMPAIGNS = ("all", "men", "women")
POLICIES = ("random", "bts")
SEED = 20191124
DELAY_MEDIAN_S = 20.0
DELAY_P99_S = 300.0
DELAY_SIGMA = math.log(DELAY_P99_S / DELAY_MEDIAN_S) / 2.3263478740408408  # the normal's 99th percentile
COLUMNS = yaml.safe_load(Path(__file__).with_name("columns.yaml").read_text())

Event = dict[str, Any]


@dataclass(frozen=True)
class Auction:
    """One impression of the data with what surrounds it.

    Attributes:
        context: value of each request feature by name.
        ad_ids: the candidates, the campaign's items.
        impression, click: events that fit their topics' schemas; `click` is None where nobody clicked.
    """

    impression: Event
    click: Event | None
    context: dict[str, str | int | float]
    ad_ids: tuple[str, ...]

    @property
    def time_ms(self) -> int:
        return int(self.impression[EVENT_TIME])

    @property
    def day(self) -> date:
        return to_datetime(self.time_ms).date()


@dataclass(frozen=True)
class OpenBandit:
    """The data set.

    Attributes:
        auctions: in the order of their time.
        users, ads: what stands in those tables of the lake, without the timestamps.
    """

    auctions: tuple[Auction, ...]
    users: pa.Table
    ads: pa.Table

    def of_days(self, first: date, last: date) -> tuple[Auction, ...]:
        """Auctions of the UTC days `first` to `last`, both included."""
        return tuple(a for a in self.auctions if first <= a.day <= last)


def read(folder: Path, definitions: Definitions, seed: int = SEED) -> OpenBandit:
    """Reads the files of `demo.traffic.download.fetch`; the same seed gives the same events to the bit.

    Raises:
        MissingMapping: the definitions name a column that columns.yaml does not fill.
    """
    db = _tables(folder, seed)
    impressions = _select(db, "impression", IMPRESSIONS, _columns(definitions, IMPRESSIONS))
    clicks = _select(db, "click", CLICKS, _columns(definitions, CLICKS))
    wanted = [f.name for features in definitions.request_sources.values() for f in features]
    contexts = _select(db, "impression", "request", wanted).to_pylist()
    order = [row[0] for row in db.sql("SELECT row_id FROM impression ORDER BY shown_ms, row_id").fetchall()]
    clicked = [row[0] for row in db.sql("SELECT row_id FROM click ORDER BY shown_ms, row_id").fetchall()]
    of_row = dict(zip(clicked, clicks.to_pylist(), strict=True))
    campaigns = [row[0] for row in db.sql("SELECT campaign FROM impression ORDER BY shown_ms, row_id").fetchall()]
    items = db.sql("SELECT campaign, ad_id FROM item ORDER BY item_id").fetchall()
    candidates = {campaign: tuple(ad for c, ad in items if c == campaign) for campaign in CAMPAIGNS}
    auctions = tuple(
        Auction(impression, of_row.get(row), context, candidates[campaign])
        for row, campaign, impression, context in zip(order, campaigns, impressions.to_pylist(), contexts, strict=True)
    )
    return OpenBandit(
        auctions,
        _select(db, "person", "users", list(COLUMNS["users"])),
        _select(db, "item", "ads", list(COLUMNS["ads"])),
    )


def _columns(definitions: Definitions, topic: str) -> list[str]:
    return [f["name"] for f in definitions.events[topic]["fields"]]


def _select(db: duckdb.DuckDBPyConnection, table: str, mapping: str, columns: list[str]) -> pa.Table:
    for column in columns:
        if column not in COLUMNS[mapping]:
            raise MissingMapping(mapping, column)
    chosen = ", ".join(f'{COLUMNS[mapping][c]} AS "{c}"' for c in columns)
    order = "shown_ms, row_id" if table in ("impression", "click") else "1"
    return db.sql(f"SELECT {chosen} FROM {table} ORDER BY {order}").to_arrow_table()  # noqa: S608 (our own file)


def _tables(folder: Path, seed: int) -> duckdb.DuckDBPyConnection:
    """Tables impression, click, person and item, in the terms that columns.yaml documents."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(DUCKDB_HASH_ID)
    parts = " UNION ALL ".join(
        f"SELECT line, '{c}' AS campaign, '{p}' AS policy, item_id, position, click, user_feature_0, "  # noqa: S608
        f"user_feature_1, user_feature_2, user_feature_3, epoch_ms(CAST(timestamp AS TIMESTAMPTZ)) AS shown_ms "
        f"FROM read_csv('{folder / p / c / f'{c}.csv'}', header = true, names = ['line'])"
        for c in CAMPAIGNS
        for p in POLICIES
    )
    db.execute(
        f"""CREATE TABLE impression AS
        SELECT policy || '-' || campaign || '-' || printf('%05d', line) AS row_id, campaign, policy,
               campaign || '-' || substr(md5(concat_ws('/', user_feature_0, user_feature_1, user_feature_2,
                                                       user_feature_3)), 1, 12) AS user_id,
               campaign || '-' || item_id AS ad_id, CAST(position AS INTEGER) AS position, click,
               shown_ms, make_timestamp(shown_ms * 1000) AS shown_at,
               user_feature_0, user_feature_1, user_feature_2, user_feature_3
        FROM ({parts})"""  # noqa: S608
    )
    # The two policies publish the same items under differently salted hashes: one of them is the catalogue.
    items = " UNION ALL ".join(
        f"SELECT '{c}-' || item_id AS ad_id, '{c}' AS campaign, item_id, item_feature_0, item_feature_1, "  # noqa: S608
        f"item_feature_2, item_feature_3 FROM read_csv('{folder / 'random' / c / 'item_context.csv'}')"
        for c in CAMPAIGNS
    )
    db.execute(f"CREATE TABLE item AS {items}")
    db.execute(
        "CREATE TABLE person AS SELECT DISTINCT user_id, campaign, user_feature_0, user_feature_1, user_feature_2, "
        "user_feature_3 FROM impression"
    )
    clicked = [r[0] for r in db.sql("SELECT row_id FROM impression WHERE click = 1 ORDER BY row_id").fetchall()]
    delays = click_delays_ms(len(clicked), seed)
    db.register("delay", pa.table({"row_id": clicked, "delay_ms": delays}))
    db.execute(
        "CREATE TABLE click AS SELECT *, shown_ms + delay_ms AS click_ms FROM impression JOIN delay USING (row_id)"
    )
    return db


def click_delays_ms(n: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """`n` synthetic delays from impression to click in milliseconds, int64: lognormal, see the module's header."""
    drawn = np.random.default_rng(seed).lognormal(math.log(DELAY_MEDIAN_S), DELAY_SIGMA, n)
    return np.ceil(drawn * 1000).astype(np.int64)
