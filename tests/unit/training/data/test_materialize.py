"""Views are made alone, newest interval first, and the ledger knows of nothing that was not made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adfeast.clock import ManualClock, to_ms
from adfeast.contract.definitions import Definitions, View
from adfeast.ledger import Claim, Ledger
from adfeast.settings import Settings
from adfeast.watermarks import publish
from training.data import materialize
from training.data import publish as publishing
from training.errors import BadFeatureRows, FutureInterval

DAY = timedelta(days=1)
END = datetime(2019, 11, 29, tzinfo=UTC)
CLOCK = ManualClock(to_ms(END + timedelta(hours=1)))


def view(name: str, *reads: str) -> View:
    return View(name, "batch", "user", "user_id", "dynamodb", 60, (), f"{name}_table", reads=reads)


class Publisher:
    """Makes every interval of three rows, but those of the view `bad`."""

    def make(self, made: View, _end: datetime, claim: Claim, *_bounds: Any) -> None:
        claim.facts["rows_aside"] = 0
        if made.name == "bad":
            raise BadFeatureRows("view 'bad': all of its rows are unsound", {"rate is not finite": 3})
        claim.rows = 3


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ledger_url=f"sqlite:///{tmp_path}/ledger.db", lake=str(tmp_path / "lake"))


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Applies these views."""
    monkeypatch.setattr(publishing, "open_publisher", lambda *_: Publisher())

    def apply(*views: View) -> None:
        entities, events = {"user": "user_id"}, {"clicks": dict[str, Any]()}
        found = Definitions("p", entities, {v.name: v for v in views}, events, {}, {}, {})
        monkeypatch.setattr(materialize, "load_definitions", lambda _settings: found)

    return apply


def run(settings: Settings, until: datetime = END, **more: Any) -> list[tuple[str, datetime, str]]:
    return [(o.view, o.end, o.status) for o in materialize.run(settings, until, CLOCK, **more)]


def test_a_view_that_fails_stops_neither_the_others_nor_newer_intervals(
    settings: Settings, applied: Callable[..., None]
) -> None:
    applied(view("bad"), view("good"))
    both = [("bad", "failed"), ("good", "done")]
    made = [(name, end, status) for end in (END, END - DAY) for name, status in both]
    assert run(settings, since=END - 2 * DAY) == made
    # The next run has one interval more: it goes first, and what has failed is tried again.
    CLOCK.advance(86_400_000)
    assert run(settings, END + DAY) == [
        *((name, END + DAY, status) for name, status in both),
        ("bad", END, "failed"),
        ("bad", END - DAY, "failed"),
    ]
    materialize.skip(settings, "bad", END, CLOCK, "a broken delivery")
    assert ("bad", END, "failed") not in run(settings, END + DAY)


def test_a_year_that_was_mistyped_marks_nothing_done(settings: Settings, applied: Callable[..., None]) -> None:
    applied(view("good"))
    with pytest.raises(FutureInterval, match="2029-11-29"):
        run(settings, END.replace(year=2029), since=END)
    assert Ledger(settings, CLOCK).runs() == []


def test_an_interval_whose_input_lags_is_not_done_until_it_is_there(
    settings: Settings, applied: Callable[..., None]
) -> None:
    applied(view("counts", "clicks"), view("good"))
    publish(settings, {"clicks": to_ms(END)}, CLOCK.ms)
    assert run(settings) == [("counts", END, "waits"), ("good", END, "done")]
    assert Ledger(settings, CLOCK).runs(materialize.JOB, "counts") == []
    publish(settings, {"clicks": to_ms(END) + 60_000}, CLOCK.ms)
    assert run(settings) == [("counts", END, "done")]
    assert run(settings) == []
