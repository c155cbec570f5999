"""kill -9 of the parts that hold state on the way, in the middle of a replay: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from functools import partial

import pyarrow.dataset as ds

from adfeast.clock import SystemClock, to_ms
from adfeast.contract.events import CLICKS, EVENT_ID, IMPRESSIONS, REQUEST_ID
from adfeast.contract.snapshots import TOPIC
from demo.run import midnight
from demo.steps.learning import LABEL_WINDOW
from demo.traffic.replay import Replay
from streaming import progress
from streaming.archive_progress import publish_watermarks
from streaming.marks import advance
from streaming.plan import make_plan
from tests.e2e.conftest import DAYS, Loop
from tests.e2e.windows import assert_windows
from training.data import label_join

DAY = date(2019, 11, 26)
AUCTIONS = 2400
VICTIMS = {500: "flink_taskmanager", 1000: "redis_writer", 1500: "prediction_server"}


def test_nothing_is_lost_and_nothing_counts_twice(loop: Loop) -> None:
    # The last clicks of the day before come minutes after midnight, and event time was moved on to them.
    first = to_ms(midnight(DAY) + timedelta(hours=1))
    auctions = [a for a in loop.data.of_days(DAY, DAY) if a.time_ms > first][:AUCTIONS]
    waiting = dict(VICTIMS)

    def kill(done: int) -> None:
        for at in [at for at in waiting if at <= done]:
            loop.platform.kill(waiting.pop(at))

    plan = make_plan(loop.definitions, loop.settings)
    mark = partial(advance, loop.settings, plan)
    replay = Replay(loop.settings.grpc_address, loop.definitions, None, kill, mark)
    replayed = asyncio.run(replay.run(auctions))
    assert waiting == {}
    for victim in VICTIMS.values():
        loop.platform.wait(victim)
    progress.wait_archived(loop.settings, [IMPRESSIONS, CLICKS, TOPIC])
    progress.wait_features(loop.settings)
    assert assert_windows(loop, [*loop.data.of_days(DAYS.history[0], DAYS.replayed[1]), *auctions]) > 0

    clicks = [a.click for a in auctions if a.click is not None]
    assert (replayed.impressions, replayed.clicks, len(replayed.served)) == (len(auctions), len(clicks), len(auctions))
    assert archived(loop, IMPRESSIONS, EVENT_ID) >= {a.impression[EVENT_ID] for a in auctions}
    assert archived(loop, CLICKS, EVENT_ID) >= {c[EVENT_ID] for c in clicks}
    assert archived(loop, TOPIC, REQUEST_ID) >= {s.request_id for s in replayed.served}

    start, end = midnight(DAY), midnight(DAY, 1)
    advance(loop.settings, plan, to_ms(end + 2 * LABEL_WINDOW))  # every window has closed
    publish_watermarks(loop.settings, plan)
    made = label_join.run(loop.settings, start, end, LABEL_WINDOW, "killed", SystemClock())
    rows = ds.dataset(made.path).to_table(columns=["impression_id", "label"])
    assert sorted(rows["impression_id"].to_pylist()) == sorted(a.impression[EVENT_ID] for a in auctions)
    # an impression is clicked once in this data; a click after the window is none
    assert sum(rows["label"].to_pylist()) == len(clicks) - made.counts["clicks_outside_window"]


def archived(loop: Loop, topic: str, column: str) -> set[str]:
    rows = ds.dataset(loop.settings.lake_path("events", topic), partitioning="hive", exclude_invalid_files=True)
    return set(rows.to_table(columns=[column])[column].to_pylist())
