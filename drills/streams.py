"""What goes wrong around streams, one after the other while events flow: clocks, deaths, poison, absence, change.

`python -m drills.streams` (`make drill-streams`) plays all of it; `--short` the most telling part, in six minutes.

The promises: values that stand still are marked stale in every answer within 10 s; what is not kept away by force heals
within 60 s without a person; no acknowledged event is lost or counted twice, nobody's clock makes those of others late,
and every online value of every stream view equals the naive twin at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from confluent_kafka import Producer

from adfeast.contract.events import IMPRESSIONS
from adfeast.contract.topics import late_topic
from drills import edits
from drills.command import tell
from drills.errors import NotInTime
from drills.flood import flood
from drills.kills import Killer
from drills.old_producer import OldProducer
from drills.outcome import Outcome, Say, judge
from drills.stage import ADS, USERS, Stage, stage
from drills.waiting import until
from streaming.errors import StreamingError
from streaming.kafka_admin import end_offsets
from streaming.plan import make_plan, stream_views
from streaming.status import read_status

SEED = 13
RATE = 20.0
MARKED_S, HEALED_S, GIVE_UP_S = 10.0, 60.0, 480.0
FAST_MS = 30_000
POISON = (b"", b"poison", b"\xc3\x01 no schema has this fingerprint", b"\x00 no time mark")
FRESH_FOR_S = 3.0  # so long every answer must be fresh before all counts as healed
KILLED = ("flink_taskmanager", "flink_jobmanager", "redis_writer", "reconciler", "heartbeat", "kafka")
AWAY_S = 60.0
RANDOM_KILLS_S, KILL_EVERY_S = 240.0, 15.0
FLOOD = 1_000_000


class _Play:
    def __init__(self, on: Stage, outcome: Outcome, say: Say, patience: float) -> None:
        self.on, self.outcome, self._say = on, outcome, say
        self._healed_s, self._marked_s = patience * HEALED_S, patience * MARKED_S

    def step(self, name: str, act: Callable[[], str | None]) -> None:
        begun = time.monotonic()
        try:
            found = act() or "well"
        except NotInTime as error:
            found = str(error)
            self.outcome.problems.append(f"{name}: {error}")
        self.outcome.steps.append((f"{name}: {found}", time.monotonic() - begun))
        self._say(f"  {name}: {found}")

    def _is_well(self) -> bool:
        seen, now = self.on.traffic.seen, time.monotonic()
        since, stale = seen.stale[-1]
        if stale or now - since < FRESH_FOR_S or now - seen.last_s > 1.0:
            return False
        try:
            return read_status(make_plan(self.on.definitions, self.on.settings), self.on.settings).as_planned
        except StreamingError:
            return False  # Flink or Kafka does not answer yet

    def heal(self, what: str) -> float:
        """Waits until every answer is fresh and every job runs; seconds it took, counted from now."""
        begun = time.monotonic()
        until(f"that all is well after {what}", self._is_well, GIVE_UP_S)
        took = max(0.0, time.monotonic() - begun - FRESH_FOR_S)
        if took > self._healed_s:
            self.outcome.problems.append(f"{what} was healed after {took:.0f} s")
        return took

    def killed(self, part: str) -> str:
        self.on.platform.kill(part)
        time.sleep(1.0)
        return f"healed after {self.heal(f'the death of {part}'):.0f} s"

    def away(self, part: str, seconds: float) -> str:
        """Stops a part: all answers that are given meanwhile must soon be marked."""
        seen, failed = self.on.traffic.seen, len(self.on.traffic.seen.failed)
        begun = time.monotonic()
        self.on.platform.stop(part)
        if part == "valkey":  # nothing can be read, so nothing is answered
            marked = 0.0
        else:
            until(f"that values are marked stale without {part}", lambda: seen.stale[-1][1], GIVE_UP_S)
            marked = seen.stale[-1][0] - begun
        if marked > self._marked_s:
            self.outcome.problems.append(f"without {part} values were marked stale after {marked:.0f} s")
        time.sleep(max(0.0, begun + seconds - time.monotonic()))
        self.on.platform.start(part)
        healed = self.heal(f"{part} was away")
        if part == "valkey":
            self.outcome.excused += len(seen.failed) - failed
        return f"marked after {marked:.0f} s, healed {healed:.0f} s after its return"

    def fast_clock(self, seconds: float) -> str:
        """One producer is 30 s fast: it harms nobody else."""
        before = self._late()
        fast = OldProducer(self.on.settings, self.on.definitions, USERS, ADS, SEED, name="fast", ahead_ms=FAST_MS)
        fast.start()
        time.sleep(seconds)
        sent = fast.stop()
        self.outcome.beside += sent
        late = self._late() - before
        if late:
            self.outcome.problems.append(f"a producer whose clock was fast made {late} events late")
        return f"{len(sent)} events from the future, {late} events late"

    def poisoned(self) -> str:
        producer = Producer({"bootstrap.servers": self.on.settings.kafka_bootstrap, "log_level": 0})
        for message in POISON:
            producer.produce(IMPRESSIONS, value=message)
        producer.flush(30)
        self.outcome.poison += len(POISON)
        return f"{len(POISON)} messages that are no events; {self.heal('poison'):.0f} s"

    def change(self) -> str:
        """A window is added to a view: nothing stands still while it is built."""
        seen = self.on.traffic.seen
        turns = len(seen.stale)
        edits.add_a_window(self.on.repo)
        self.on.commands.feast_apply()
        plan = make_plan(self.on.definitions, self.on.settings)
        until("that the changed view is made as planned", lambda: read_status(plan, self.on.settings).as_planned, 480)
        took = self.heal("a view was changed")
        stood = seen.stale[turns:]
        if stood:
            self.outcome.problems.append(f"while a view was changed these were stale: {[sorted(v) for _, v in stood]}")
        return f"live after {took:.0f} s, {len(stood)} times stale"

    def parallelism(self, number: int) -> str:
        """Goes to another parallelism from a savepoint, by hand, and lets the reconciler go back."""
        self.on.platform.stop("reconciler")
        self.on.commands.environment["ADFEAST_STREAM_PARALLELISM"] = str(number)
        self.on.commands.adfeast("stream", "submit")
        del self.on.commands.environment["ADFEAST_STREAM_PARALLELISM"]
        time.sleep(FRESH_FOR_S)
        self.on.platform.start("reconciler")
        return f"there and back, healed after {self.heal('a change of parallelism'):.0f} s"

    def random_kills(self, seconds: float) -> str:
        """Kills at random while a million events pass."""
        killer = Killer(self.on.platform, KILL_EVERY_S, SEED, KILLED)
        killer.start()
        begun = time.monotonic()
        self.outcome.beside += flood(self.on.settings, self.on.definitions, FLOOD, SEED)
        sent_s = time.monotonic() - begun
        time.sleep(max(0.0, begun + seconds - time.monotonic()))
        killer.stop()
        self.outcome.problems += killer.problems
        healed = self.heal("random kills")
        return f"{dict(killer.killed)}; {FLOOD} events sent in {sent_s:.0f} s, well {healed:.0f} s after the last kill"

    def _late(self) -> int:
        topics = [late_topic(self.on.settings.project, v.name) for v in stream_views(self.on.definitions)]
        return sum(end_offsets(self.on.settings.kafka_bootstrap, topics).values())


def act(on: Stage, outcome: Outcome, say: Say, *, short: bool, patience: float = 1.0) -> None:
    """Everything that goes wrong, while the traffic of a stage runs.

    Args:
        patience: how many times as long as promised marks and healing may take; above 1 on a machine with other work.
    """
    p = _Play(on, outcome, say, patience)
    p.step("at the start", lambda: f"well after {p.heal('the start'):.0f} s")
    p.step("a producer 30 s fast", partial(p.fast_clock, 10 if short else 60))
    p.step("poison", p.poisoned)
    p.step("the writer is away", partial(p.away, "redis_writer", 15 if short else AWAY_S))
    for part in KILLED[:2] if short else KILLED:
        p.step(f"{part} killed", partial(p.killed, part))
    p.step("a window added", p.change)
    if not short:
        for part in ("flink_taskmanager", "heartbeat", "valkey"):
            p.step(f"{part} is away", partial(p.away, part, AWAY_S))
        p.step("parallelism 2 and back", partial(p.parallelism, 2))
        p.step("killed at random under load", partial(p.random_kills, RANDOM_KILLS_S))


def play(root: Path, *, short: bool, say: Say) -> Outcome:
    """Plays the drill in a folder of its own; nothing runs afterwards.

    Raises:
        Broken: a promise was broken; the message lists all.
    """
    outcome, begun = Outcome(), time.monotonic()
    with stage(root, RATE, KILL_EVERY_S, SEED) as on:
        act(on, outcome, say, short=short)
        judge(on, outcome, say)
    return outcome.ended(begun)


@click.command()
@click.option("--short", is_flag=True, help="Without what takes minutes.")
def main(short: bool) -> None:
    """What goes wrong around streams."""
    tell(partial(play, short=short, say=click.echo))


if __name__ == "__main__":
    main()
