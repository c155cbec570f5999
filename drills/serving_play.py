"""One drill of auctions: a fault at a time, from its beginning until all answers are whole again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from adfeast import fleet
from adfeast.clock import SystemClock
from benchmarks.harness.asking import Asking
from benchmarks.harness.server import free_address, running
from drills import bad_models, faults
from drills.errors import NotInTime
from drills.kills import SERVERS
from drills.outcome import Outcome, Say
from drills.poison import send_poison
from drills.rows import WHOLE_FOR_S, Promise, Row, healed_after
from drills.stage import Deployed
from drills.waiting import until
from infra.local.errors import PlatformError

QUIET_S, GIVE_UP_S, SETTLED_S = 3.0, 120.0, 30.0
REPORT_LAG_S = 3.0  # a server says every two seconds how many snapshots Kafka has
STORM = 2_000
IN_TIME, NONE_LOST = Promise(), Promise(lost=0.0)
Act = Callable[[], float | None]


@dataclass(frozen=True)
class Measure:
    """How a drill is played, and how strictly it judges.

    Attributes:
        users, ads: how many there are; each has a row in both tiers.
        seconds: how long a part stands still or is slow.
        patience: how many times as long as promised answers and healing may take, for a machine with other work.
        in_time: share of the answers in place of the promised one; None: as promised.
        whole: share of the answers that must be whole for all to count as healed.
    """

    rate: float = 60.0
    candidates: int = 160
    users: int = 500
    ads: int = 1000
    deadline_s: float = 1.0
    seconds: float = 7.0
    patience: float = 1.0
    in_time: float | None = None
    whole: float = 1.0

    def judged_by(self, promise: Promise) -> Promise:
        """A promise as this machine can keep it."""
        share = promise.in_time if promise.in_time is None or self.in_time is None else self.in_time
        within_ms, healed_s = self.patience * promise.within_ms, self.patience * promise.healed_s
        return replace(promise, within_ms=within_ms, in_time=share, healed_s=healed_s)


class Play:
    """Lets things happen to a platform while auctions are held.

    Attributes:
        rows: of the table, so far.
    """

    def __init__(self, on: Deployed, outcome: Outcome, say: Say, asking: Asking, measure: Measure) -> None:
        self.on, self.platform, self.outcome, self.asking, self.measure = on, on.platform, outcome, asking, measure
        self._say = say
        self.rows: list[Row] = []

    def fault(self, name: str, act: Act, promise: Promise = IN_TIME, asking: Asking | None = None) -> None:
        """Lets something happen and waits until all is well again.

        Args:
            act: returns when it is over; from when healing counts is then, or what it returns in monotonic seconds.
        """
        held, promise = asking or self.asking, self.measure.judged_by(promise)
        healed_s: float | None = None
        begun = time.monotonic()
        try:
            from_s = act() or time.monotonic()
            healed_s = self.heal(held, from_s)
        except (NotInTime, PlatformError) as error:
            self.outcome.problems.append(f"{name}: {error}")
        end = time.monotonic()
        asked = until(f"the end of all auctions of {name}", lambda: held.between(begun, end), SETTLED_S)
        row = Row.of(name, asked, promise.within_ms, healed_s)
        self.rows.append(row)
        broken = row.broken(promise)
        self.outcome.problems += broken
        self.outcome.steps.append((name, end - begun))
        self._say(f"  {name}: {'; '.join(broken).removeprefix(f'{name}: ') or 'as promised'}")
        time.sleep(QUIET_S)

    def heal(self, asking: Asking, from_s: float) -> float:
        """Waits until answers are whole; how long it took from a moment until the first of those that stayed so."""

        def well() -> tuple[float] | None:
            now = time.monotonic()
            few = len(asking.last(WHOLE_FOR_S, now)) < 0.8 * WHOLE_FOR_S * asking.plan.rate
            found_s = None if few else healed_after(asking.read(), from_s, now, self.measure.whole)
            return None if found_s is None else (found_s,)

        [healed_s] = until("that answers are whole again", well, GIVE_UP_S)
        return healed_s

    def well(self) -> None:
        """What is so without any fault."""
        time.sleep(self.measure.seconds)

    def stalled(self, part: str) -> None:
        with faults.standing_still(self.platform, part):
            time.sleep(self.measure.seconds)

    def slowed(self, part: str) -> None:
        faults.slowed(self.platform, part, self.measure.seconds)

    def killed(self, *parts: str) -> float:
        """Kills one part after the other, and looks on until the last of them is back."""
        at = time.monotonic()
        for part in parts:
            at = time.monotonic()
            self.platform.kill(part)
            time.sleep(self.measure.seconds)
            self.platform.wait(part)
        return at

    def model_killed(self) -> float:
        at = time.monotonic()
        faults.kill_model(self.platform, self.serving())
        time.sleep(self.measure.seconds)
        return at

    def serving(self) -> str:
        """Name of the model that answers."""
        reports = [r for r in self._reports() if r.answers]
        if not reports:
            raise NotInTime("no server says with which model it answers")
        return reports[0].answers

    def _reports(self) -> list[fleet.Report]:
        return fleet.servers(self.on.settings, SystemClock().now_ms())

    def kafka_away(self, name: str, act: Act) -> None:
        """All are answered, and all snapshots are in Kafka in the end."""
        sent_before, (held_before, lost_before) = len(self.asking.read()), self._snapshots()
        self.fault(name, act, NONE_LOST)
        answered = sum(not a.lost for a in self.asking.read()[sent_before:])

        def settled() -> bool:
            held, lost = self._snapshots()
            return held + lost - held_before - lost_before >= answered + REPORT_LAG_S * self.measure.rate

        try:
            until("that each answer's snapshot is in Kafka or known to be lost", settled, SETTLED_S)
        except NotInTime as error:
            self.outcome.problems.append(f"{name}: {error}")
        lost = self._snapshots()[1] - lost_before
        self.outcome.figures[f"snapshots lost, {name}"] = lost
        if lost:
            self.outcome.problems.append(f"{name}: {lost} snapshots of {answered} answers lost")

    def _snapshots(self) -> tuple[int, int]:
        """How many are in Kafka, and how many are lost, since the servers' start."""
        reports = self._reports()
        return sum(r.acknowledged for r in reports), sum(r.lost for r in reports)

    def restarted(self, times: int = 3, every_s: float = 10.0) -> None:
        """Stops and starts the servers in turn."""
        for n in range(times):
            begun, name = time.monotonic(), SERVERS[n % len(SERVERS)]
            self.platform.supervisor.stop(name)
            self.platform.start(name)
            time.sleep(max(0.0, begun + every_s - time.monotonic()))

    def without_mlflow(self) -> None:
        """MLflow is away for so long that a server that starts meanwhile stops waiting for it."""
        self.platform.stop("mlflow")
        try:
            time.sleep(self.measure.seconds)
            self.platform.kill(SERVERS[1])
            time.sleep(60.0)
        finally:
            self.platform.start("mlflow")

    def storm(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "drills.storm", self.on.settings.grpc_address, str(STORM)]
        # The clients of a storm are not on the servers' machine.
        done = subprocess.run(["nice", "-n", "19", *command], capture_output=True, text=True, check=False)
        self.outcome.figures["calls of a storm"] = done.stdout.strip() or done.stderr[-500:]
        if done.returncode:
            self.outcome.problems.append(f"the storm ended with {done.returncode}: {done.stderr[-500:]}")

    def disk_full(self) -> None:
        with faults.disk_full([faults.pid_of(self.platform, name) for name in SERVERS]):
            time.sleep(self.measure.seconds)

    def poison(self) -> None:
        """Senders of nonsense beside the auctions."""
        until_s = time.monotonic() + self.measure.seconds
        while time.monotonic() < until_s:
            self.outcome.problems += send_poison(self.on.settings, self.on.definitions)
            time.sleep(0.2)

    def bad_model(self, name: str, version: int, *, score: str, signature_hash: str = "", answers: bool) -> None:
        """A model is put before the servers that no deploy would have let through.

        Args:
            answers: whether the servers may take it.
        """
        former, begun = self.serving(), len(self.asking.read())
        bad = ""

        def act() -> float:
            nonlocal bad
            with bad_models.in_production(self.on, former, version, score=score, signature_hash=signature_hash) as bad:
                time.sleep(self.measure.seconds)
                return time.monotonic()

        self.fault(name, act)
        took = bad in {a.model for a in self.asking.read()[begun:]}
        if took != answers:
            self.outcome.problems.append(f"{name}: {bad} was {'' if took else 'not '}asked")

    @contextmanager
    def jumping_server(self) -> Iterator[tuple[Asking, int]]:
        """A server of its own whose clock jumps at SIGUSR1, and auctions that are held there; also its process id."""
        address = free_address()
        own = {"ADFEAST_GRPC_ADDRESS": address, "ADFEAST_REST_ADDRESS": "null", "ADFEAST_SERVER_NAME": "jumping"}
        command = [sys.executable, "-m", "drills.jumping_server"]
        out = str(self.on.root / "jumping.asked")
        with (
            running(command, address, own, self.on.root / "jumping.log") as pid,
            Asking(replace(self.asking.plan, address=address, out=out)) as asking,
        ):
            time.sleep(QUIET_S)
            yield asking, pid

    def clock_jumps(self, pid: int) -> None:
        """An hour ahead, an hour behind, and right again."""
        for _ in range(3):
            os.kill(pid, signal.SIGUSR1)
            time.sleep(self.measure.seconds / 2)
