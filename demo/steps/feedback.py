"""Events in, features out: stream jobs, history, the daily batch run, the replay through the prediction server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import partial

from adfeast.clock import to_datetime, to_ms
from adfeast.contract.events import EVENT_TIME
from adfeast.contract.signature import AD, USER
from adfeast.feast_ext.store import open_store
from demo.errors import StepFailed
from demo.report import judge
from demo.run import Run, midnight
from demo.traffic import publish as history
from demo.traffic.archive import PATIENCE_S, wait_archived
from demo.traffic.freshness import FreshnessProbe
from demo.traffic.open_bandit import Auction
from demo.traffic.replay import Replay, Replayed
from streaming.archive_progress import publish_watermarks
from streaming.marks import advance
from streaming.plan import make_plan
from streaming.progress import wait_features
from streaming.submit import submit
from training.data import materialize as scheduled

# A replay knows that nothing is on its way any more.
NO_GRACE = scheduled.Limits(grace=timedelta(0))
QUIET = timedelta(hours=2)  # longer than every window: whoever was silent for so long must read zero


def start_streams(run: Run) -> None:
    """What `adfeast stream submit`, and the supervised `adfeast stream write` and `reconcile` do."""
    what = "Planned the stream jobs from the stream views, submitted them to Flink, started what keeps them so."
    with run.stage.step("Streams", what) as step:
        actions = submit(make_plan(run.definitions, run.settings), run.settings)
        run.platform.start("redis_writer")
        run.platform.start("reconciler")
        step.facts |= {f"job {a.job}": a.what for a in actions}


def publish_history(run: Run) -> None:
    """The first days as fast as Kafka takes them; waits until all of it is archived."""
    what = "Published the first days to Kafka in the order of their times; Flink archived every event exactly once."
    with run.stage.step("History", what) as step:
        past = run.data.of_days(*run.days.history)
        total = len(past) + sum(a.click is not None for a in past)
        sent = history.publish(run.settings, run.definitions, past, lambda n: step.progress(n, total))
        run.count(sent.impressions, sent.clicks)
        wait_archived(run.settings, run.counts)
        wait_features(run.settings, PATIENCE_S)
        step.facts |= {"impressions": sent.impressions, "clicks": sent.clicks}


def materialize(run: Run, day: date) -> None:
    """The scheduled daily run, caught up to the beginning of `day`.

    Raises:
        StepFailed: a view was not made; the message says why.
    """
    what = f"Spark computed the batch views as of {day:%d %B}, 00:00; Feast materialized them into DynamoDB."
    with run.stage.step("Batch features", what) as step:
        complete(run, midnight(day))
        made = scheduled.run(run.settings, midnight(day), run.clock, limits=NO_GRACE)
        if bad := [f"{o.view}: {o.reason}" for o in made if o.status != "done"]:
            raise StepFailed("; ".join(bad))
        step.facts |= {"views": len(made), "rows": sum(o.rows for o in made)}


def complete(run: Run, until: datetime) -> None:
    """Says that event time has come to `until`, and how far the archive is then: what a heartbeat does on live."""
    plan = make_plan(run.definitions, run.settings)
    advance(run.settings, plan, to_ms(until))
    publish_watermarks(run.settings, plan, PATIENCE_S)


def replay(run: Run, span: tuple[date, date]) -> None:
    """Day by day through gRPC, with the scheduled batch run between the days."""
    day = span[0]
    while day <= span[1]:
        if day != run.days.replayed[0]:
            materialize(run, day)
        _replay(run, day)
        day += timedelta(days=1)


def _replay(run: Run, day: date) -> None:
    what = f"Replayed {day:%d %B} by event time: a Predict for each auction, then LogImpression and LogClick."
    with run.stage.step("Replay", what) as step:
        auctions = run.data.of_days(day, day)
        done = asyncio.run(_drive(run, auctions, lambda n: step.progress(n, len(auctions))))
        run.replays.append(done)
        run.count(done.impressions, done.clicks, len(done.served))
        wait_archived(run.settings, run.counts)
        step.facts |= {
            "auctions": len(done.served),
            "candidates": done.candidates,
            "clicks": done.clicks,
            "stale answers": done.stale,
            "Predicts a second": round(len(done.served) / done.seconds),
        }


async def _drive(run: Run, auctions: Sequence[Auction], progress: Callable[[int], None]) -> Replayed:
    probe = FreshnessProbe(run.settings, run.definitions)
    try:
        mark = partial(advance, run.settings, make_plan(run.definitions, run.settings))
        done = await Replay(run.settings.grpc_address, run.definitions, probe, progress, mark).run(auctions)
    finally:
        await probe.close()
    for view, seconds in probe.result.seconds.items():
        run.freshness_ms.setdefault(view, []).extend(1000 * s for s in seconds)
    run.report.freshness_unseen += probe.result.unseen
    return done


def check_decay(run: Run) -> None:
    """Reads with Feast what stands in the stores: those who went away, and one user and one ad in full."""
    what = "Read the windows of users who had been silent for two hours: what they did must not linger."
    with run.stage.step("Decay", what) as step:
        last = run.days.replayed[1]
        complete(run, midnight(last, 1))
        wait_features(run.settings, PATIENCE_S)
        shown = run.data.of_days(last, last)
        user = run.definitions.entities[USER]
        latest = {a.impression[user]: a.impression[EVENT_TIME] for a in shown}
        end = to_datetime(shown[-1].time_ms) - QUIET
        silent = [key for key, ms in latest.items() if to_datetime(ms) < end]
        views = [v for v in run.definitions.views.values() if v.kind == "stream" and v.entity == USER]
        store = open_store(run.settings)
        zero, known = judge.silent_windows(store, views, silent)
        run.report.decay = f"Of {known} users silent for two hours, {zero} read zero in every window."
        step.facts |= {"silent users": known, "reading zero": zero}
        for entity in (USER, AD):
            key = shown[-1].impression[run.definitions.entities[entity]]
            run.report.features += judge.stored(store, run.definitions, entity, key)
