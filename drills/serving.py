"""What goes wrong around auctions, one after the other while they are held at a steady rate.

`python -m drills.serving` (`make drill-serving`) plays all of it in ten minutes; `--short` four faults in one, after
the platform is up. It ends with a table, a row a fault, and with an error that lists every promise that was broken.

The promises: whatever stands still or dies, 99.9 % of the auctions are answered within 50 ms of when they were due, and
all answers are whole again without a person, those of a model whose process was killed within 10 s; no snapshot is lost
while Kafka is away. A server that dies or is started again, and a storm of connections, cost time and no answer.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from adfeast.feast_ext.store import open_store
from benchmarks.harness.asking import Asking
from benchmarks.harness.auctions import Plan
from benchmarks.harness.data import Population, fill
from drills.command import tell
from drills.kills import SERVERS
from drills.outcome import Outcome, Say
from drills.rows import Promise, Row, table
from drills.serving_play import STORM, Measure, Play
from drills.stage import Deployed, deployed

SEED = 17
PARTS = ("valkey", "kafka", "dynamodb", "triton", "mlflow")  # no stream jobs: their two JVMs would share the cores
KEEPER = "model_keeper"
ANY_TIME = Promise(in_time=None)
ALL_ANSWERED = Promise(in_time=None, lost=0.0)


def act(on: Deployed, outcome: Outcome, say: Say, measure: Measure, *, short: bool) -> list[Row]:
    """Everything that goes wrong around auctions, on a platform whose model keeper runs; the rows of the table."""
    people, definitions = Population.of(measure.users, measure.ads), on.definitions
    fill(open_store(on.settings), definitions, on.settings.feature_service, people, datetime.now(UTC), SEED)
    asked = [f for features in definitions.request_sources.values() for f in features]
    plan = Plan(
        address=on.settings.grpc_address,
        users=people.users,
        ads=people.ads,
        context={f.name: "one" if f.dtype == "string" else 1 for f in asked},
        rate=measure.rate,
        candidates=measure.candidates,
        deadline_s=measure.deadline_s,
        seed=SEED,
        out=str(on.root / "asked"),
    )
    bad = [] if short else [on.first_model(f"bad-{n}", 0.04 + n / 100) for n in range(2)]
    with Asking(plan) as asking:
        p = Play(on, outcome, say, asking, measure)
        p.heal(asking, time.monotonic())
        p.fault("nothing", p.well)
        p.fault("Redis stands still", partial(p.stalled, "valkey"))
        p.fault("DynamoDB stands still", partial(p.stalled, "dynamodb"))
        if not short:
            p.fault("Triton stands still", partial(p.stalled, "triton"))
            for name, part in (("Redis", "valkey"), ("DynamoDB", "dynamodb"), ("Triton", "triton")):
                p.fault(f"{name} killed", partial(p.killed, part))
        p.fault("the model's process killed", p.model_killed, Promise(healed_s=10.0))
        p.fault("a server killed", partial(p.killed, SERVERS[0]), ALL_ANSWERED)
        if not short:
            _rest(p, bad)
    late_ms = max(row.late_ms for row in p.rows)
    outcome.figures["client's own lateness, ms, p99 of its worst row"] = round(late_ms, 1)
    say(table(p.rows))
    return p.rows


def _rest(p: Play, bad: list[int]) -> None:
    p.kafka_away("Kafka stands still", partial(p.stalled, "kafka"))
    p.kafka_away("Kafka killed", partial(p.killed, "kafka"))
    p.fault("Redis 50 ms late", partial(p.slowed, "valkey"))
    p.fault("Triton 50 ms late", partial(p.slowed, "triton"))
    p.fault("a full disk under the servers", p.disk_full)
    p.fault("poisonous events", p.poison)
    p.bad_model("a model of another signature", bad[0], score="0.5", signature_hash="f" * 64, answers=False)
    p.bad_model("a model that answers NaN", bad[1], score="np.nan", answers=True)
    with p.jumping_server() as (asking, pid):
        p.fault("a server's clock jumps", partial(p.clock_jumps, pid), asking=asking)
    p.fault("MLflow away, a server killed", p.without_mlflow, ANY_TIME)
    p.fault(f"{STORM} connections at once", p.storm, ANY_TIME)
    p.fault("a server restarted every 10 s", p.restarted, ANY_TIME)


def play(root: Path, *, measure: Measure, short: bool, say: Say) -> Outcome:
    """Plays the drill in a folder of its own; nothing runs afterwards.

    Raises:
        Broken: a promise was broken; the message lists all.
    """
    outcome, begun = Outcome(), time.monotonic()
    with deployed(root, SEED, PARTS, (KEEPER,)) as on:
        say(f"{measure.rate:.0f} auctions a second of {measure.candidates} candidates")
        act(on, outcome, say, measure, short=short)
    return outcome.ended(begun)


@click.command()
@click.option("--short", is_flag=True, help="Four faults only, and shorter ones.")
@click.option("--rate", default=Measure.rate, show_default=True, help="Auctions a second.")
@click.option("--candidates", default=Measure.candidates, show_default=True, help="Of an auction.")
def main(short: bool, rate: float, candidates: int) -> None:
    """What goes wrong around auctions."""
    measure = Measure(rate, candidates, seconds=4.0 if short else 7.0)
    tell(partial(play, measure=measure, short=short, say=click.echo))


if __name__ == "__main__":
    main()
