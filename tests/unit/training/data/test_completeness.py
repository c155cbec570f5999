from datetime import timedelta
from pathlib import Path

import pytest

from adfeast.clock import ManualClock, to_datetime
from adfeast.contract.events import CLICKS, IMPRESSIONS
from adfeast.contract.snapshots import TOPIC as SNAPSHOTS
from adfeast.ledger import Ledger
from adfeast.settings import Settings
from adfeast.watermarks import publish
from training.data import label_join
from training.data.completeness import require
from training.errors import NotComplete

CLOCK = ManualClock(1_600_000_100_000)
AT = 1_600_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ledger_url=f"sqlite:///{tmp_path}/ledger.db", registry_url=f"sqlite:///{tmp_path}/registry.db")


def test_what_is_archived_may_be_read(settings: Settings) -> None:
    publish(settings, {"shown": AT, "clicked": AT + 5}, AT)
    require(settings, {"shown": AT, "clicked": AT}, CLOCK)
    require(settings, {}, CLOCK)


def test_every_topic_that_is_behind_is_named_with_both_times(settings: Settings) -> None:
    publish(settings, {"shown": AT, "clicked": AT - 1}, AT)
    with pytest.raises(NotComplete) as refused:
        require(settings, {"shown": AT, "clicked": AT, "served": AT}, CLOCK)
    assert len(refused.value.behind) == 2
    text = str(refused.value)
    assert "'clicked' is needed until 2020-09-13T12:26:40.000+00:00" in text
    assert "complete until 2020-09-13T12:26:39.999+00:00" in text
    assert "'served' is needed" in text
    assert "nobody has said" in text
    assert "'shown'" not in text


def test_a_time_that_has_not_come_is_not_complete_whatever_the_archive_says(settings: Settings) -> None:
    publish(settings, {"shown": CLOCK.ms + 10}, AT)
    with pytest.raises(NotComplete, match="after the clock"):
        require(settings, {"shown": CLOCK.ms + 1}, CLOCK)
    require(settings, {"shown": CLOCK.ms}, CLOCK)


def test_labels_are_not_made_while_a_click_may_still_be_on_its_way(settings: Settings) -> None:
    """A click may come a label window after the last impression, and its event five minutes later."""
    clock, end, window = ManualClock(AT + 3_600_000), to_datetime(AT), timedelta(minutes=30)
    publish(settings, {IMPRESSIONS: AT + 300_000, SNAPSHOTS: AT + 300_000, CLICKS: AT + 2_099_999}, AT)
    with pytest.raises(NotComplete) as refused:
        label_join.run(settings, end - window, end, window, "early", clock)
    assert [text.split("'")[1] for text in refused.value.behind] == [CLICKS]
    assert Ledger(settings, clock).runs() == []
