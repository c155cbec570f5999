"""What stands in the ledger as done was made of complete input, was sound, and is what is served."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from adfeast.clock import ManualClock, to_ms
from adfeast.contract.events import EVENT_TIME
from adfeast.feast_ext.store import apply
from adfeast.ledger import LEASE, LeaseLost, Ledger
from adfeast.settings import Settings
from infra.stored import Tables
from tests.integration.batch_lake import DAY, DAYS, FIRST, KEYS, NOW, Deployment, deploy
from training.data import materialize
from training.data.publish import open_publisher
from training.errors import AlreadyDone, FutureInterval, NotAnInterval, UnknownView

ONE, TWO, END = FIRST + DAY, FIRST + 2 * DAY, FIRST + DAYS * DAY


@pytest.fixture
def lake(settings: Settings, tmp_path: Path) -> Deployment:
    return deploy(settings, tmp_path, f"materialize_{abs(hash(tmp_path))}")


@pytest.fixture
def complete(lake: Deployment) -> Deployment:
    lake.archived(END + 10 * DAY)
    return lake


def statuses(outcomes):
    return [(o.view, o.end, o.status) for o in outcomes]


def run(lake, end=END, *views, **more):
    NOW.advance(1000)
    return materialize.run(lake.settings, end, NOW, views=views, **more)


def test_views_wait_alone_until_the_archive_of_what_they_read_is_beyond_the_interval(lake):
    lake.archived(END + timedelta(seconds=59))
    first = {o.view: o for o in run(lake)}
    assert {v: o.status for v, o in first.items()} == {
        "user_profile": "done",
        "ad_catalogue": "done",
        "user_history": "waits",
        "ad_history": "waits",
    }
    assert "'clicks' is archived until 2019-11-28T00:00:59+00:00 and 2019-11-28T00:01:00" in first["ad_history"].reason
    assert lake.runs("ad_history") == []
    assert lake.computed("ad_history", END) is None
    lake.archived(END + timedelta(seconds=60))
    assert sorted(statuses(run(lake))) == [("ad_history", END, "done"), ("user_history", END, "done")]
    assert run(lake) == []
    published = lake.computed("ad_history", END)
    assert published.num_rows == KEYS
    assert set(published[EVENT_TIME].to_pylist()) == {END}
    keys = published["ad_id"].to_pylist()
    assert lake.online("ad_history", keys, "ad_impressions_7d") == [DAYS] * KEYS
    [done] = lake.runs("ad_history")
    assert (done.status, done.rows, done.digest) == ("done", KEYS, lake.view("ad_history").digest)
    assert done.facts["archived_until"] == dict.fromkeys(("clicks", "impressions"), to_ms(END + timedelta(seconds=60)))
    assert done.facts["expectations"] > 0


def test_a_year_that_was_mistyped_marks_nothing_done(complete):
    with pytest.raises(FutureInterval, match="2029-11-28"):
        run(complete, END.replace(year=2029), since=END)
    with pytest.raises(NotAnInterval, match="01:00"):
        run(complete, END + timedelta(hours=1), again=True)
    with pytest.raises(UnknownView, match="ad_historie"):
        run(complete, END, "ad_historie")
    assert complete.runs() == []


def test_a_changed_query_is_computed_again_and_served(complete):
    assert statuses(run(complete, END, "ad_history")) == [("ad_history", END, "done")]
    before = complete.online("ad_history", ["ad 0"], "ad_ctr_7d")
    complete.edit("impressions + 200.0", "impressions + 50.0")
    assert statuses(run(complete, END, "ad_history", "ad_catalogue")) == [
        ("ad_history", END, "done"),
        ("ad_catalogue", END, "done"),
    ]
    assert complete.online("ad_history", ["ad 0"], "ad_ctr_7d") != before
    complete.edit("impressions + 50.0", "impressions + 200.0")
    assert statuses(run(complete, END, "ad_history")) == [("ad_history", END, "done")]
    assert complete.online("ad_history", ["ad 0"], "ad_ctr_7d") == before


def test_an_unsound_row_is_put_aside_and_the_others_are_served(complete):
    complete.deliver_ads(TWO - timedelta(hours=1), unsound=1)
    [made] = run(complete, TWO, "ad_catalogue")
    assert (made.status, made.rows, made.rows_aside) == ("done", KEYS - 1, 1)
    [bad] = complete.aside("ad_catalogue", TWO).to_pylist()
    assert (bad["ad_id"], bad["reason"]) == ("ad 0", "content_embedding has not 128 numbers")
    assert "ad 0" not in complete.computed("ad_catalogue", TWO)["ad_id"].to_pylist()
    assert complete.online("ad_catalogue", ["ad 0", "ad 1"], "item_score") == [None, 3.0]
    complete.deliver_ads(TWO - timedelta(hours=1))
    [again] = run(complete, TWO, "ad_catalogue", again=True)
    assert (again.rows, again.rows_aside) == (KEYS, 0)
    assert complete.aside("ad_catalogue", TWO) is None


def test_a_view_that_fails_is_not_published_and_stops_neither_newer_intervals_nor_other_views(complete):
    complete.deliver_ads(TWO - timedelta(hours=1), unsound=9)
    complete.deliver_ads(END - timedelta(hours=1))
    made = run(complete, END, "ad_catalogue", "ad_history", since=ONE)
    assert statuses(made) == [
        ("ad_catalogue", END, "done"),
        ("ad_history", END, "done"),
        ("ad_catalogue", TWO, "failed"),
        ("ad_history", TWO, "done"),
    ]
    assert "9 of 150 rows are unsound" in made[2].reason
    assert complete.computed("ad_catalogue", TWO) is None
    assert complete.aside("ad_catalogue", TWO).num_rows == 9
    failed, _ = complete.runs("ad_catalogue")
    assert (failed.status, failed.facts["rows_aside"]) == ("failed", 9)
    assert "content_embedding has not 128 numbers (9 rows)" in failed.error
    materialize.skip(complete.settings, "ad_catalogue", TWO, NOW, "a broken delivery")
    assert run(complete, END, "ad_catalogue", since=ONE) == []
    with pytest.raises(AlreadyDone):
        materialize.skip(complete.settings, "ad_catalogue", END, NOW, "why not")


def test_a_view_that_lost_most_of_its_rows_is_not_published_unless_that_is_meant(complete):
    run(complete, ONE, "ad_catalogue")
    complete.edit("FROM ads WHERE", "FROM ads WHERE ad_id < 'ad 2' AND")
    [made] = run(complete, TWO, "ad_catalogue")
    assert made.status == "failed"
    assert 'expect_column_values_to_be_between(rows) {"min_value": 75.0}: 1 rows, such as [' in made.reason
    assert complete.computed("ad_catalogue", TWO) is None
    few = complete.computed("ad_catalogue", ONE).num_rows
    meant = materialize.Limits(least_share=0.1)
    [made] = run(complete, TWO, "ad_catalogue", limits=meant)
    assert (made.status, made.rows < few) == ("done", True)


def test_a_query_that_reads_what_nobody_declares_fails_by_name(complete):
    complete.edit("FROM ads WHERE", "FROM adds WHERE")
    [made] = run(complete, END, "ad_catalogue")
    assert made.status == "failed"
    assert "UnknownTable: view 'ad_catalogue' reads 'adds', which is neither an event topic (clicks" in made.reason


def test_whoever_lost_its_lease_publishes_nothing(complete):
    clock = ManualClock(NOW.ms)
    view, ledger = complete.view("ad_catalogue"), Ledger(complete.settings, clock)
    publisher = open_publisher(complete.settings, complete.definitions, clock)
    key = (materialize.JOB, view.name, view.digest, END - DAY, END)

    def lose_it_and_publish() -> None:
        with ledger.claim(*key) as mine:
            clock.advance(int(2 * LEASE.total_seconds() * 1000))
            with Ledger(complete.settings, clock).claim(*key):
                publisher.make(view, END, mine, {"ads": FIRST - 3 * DAY}, None, 0.5)

    with pytest.raises(LeaseLost, match="nothing was published"):
        lose_it_and_publish()
    assert complete.computed("ad_catalogue", END) is None
    assert complete.online("ad_catalogue", ["ad 1"], "item_score") == [None]
    assert not list(Path(view.table).glob("**/*-*"))


def test_an_interval_that_broke_off_between_folder_and_online_rows_is_made_again_the_same(complete):
    own = complete.settings
    Tables(own).drop("ad_history")
    [broken] = run(complete, END, "ad_history")
    assert (broken.status, "ResourceNotFoundException" in broken.reason) == ("failed", True)
    first = complete.computed("ad_history", END)
    apply(own)
    [made] = run(complete, END, "ad_history")
    assert made.status == "done"
    made_when = "created_timestamp"
    assert complete.computed("ad_history", END).drop_columns(made_when).equals(first.drop_columns(made_when))
    assert complete.online("ad_history", ["ad 1"], "ad_impressions_7d") == [DAYS]
    assert [(r.status, r.attempts) for r in complete.runs("ad_history")] == [("done", 2)]
