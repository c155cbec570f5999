"""How latency and CPU grow with the rate of auctions and with their candidates: a report with pictures.

`python -m benchmarks.load` (`make bench-load`) starts a platform of its own with one prediction server and asks it in
an open loop: nobody waits for an answer before the next auction is held, and a latency begins when an auction is due. A
rate beyond saturation shows as latencies that grow as long as it lasts, as they do to callers. The client shares the
machine's cores; how late it sent is told with each point, and is part of each latency.

CPU is that of all processes of a part, a request, less what the part uses when nothing is asked for; DynamoDB's is that
of a Java emulator over SQLite. Page and figures go to `.local/report/load/`.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
from rich.console import Console

from adfeast.settings import ROOT
from benchmarks.harness import load_pictures, report
from benchmarks.harness.asking import Asking
from benchmarks.harness.auctions import Plan
from benchmarks.harness.cpu import CpuMeter, per_request, rates
from benchmarks.harness.data import Population, contexts
from benchmarks.harness.deployed import PARTS, SERVER, Deployed, deployed
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.load_pictures import Point

SEED, USERS, ADS = 7, 500, 2_000
CANDIDATES, RATE = 200, 10.0  # what stays while the other one changes
RATES = (10.0, 25.0, 50.0, 100.0, 150.0, 200.0, 300.0, 400.0)
MOST_CANDIDATES = (1, 10, 50, 100, 200, 500, 1_000, 2_000)
WARM_UP_RATE, IDLE_S, WARM_UP_S, DEADLINE_S, END_S = 2.0, 5.0, 4.0, 5.0, 30.0
OVERLOADED = 0.5  # of the auctions unanswered within the deadline: no higher rate is tried
OUT = ROOT / ".local" / "report" / "load"


@dataclass(frozen=True)
class Bench:
    """A server that is asked, and what it uses when it is not."""

    on: Deployed
    plan: Plan
    meter: CpuMeter
    idle: dict[str, float]

    @classmethod
    def of(cls, on: Deployed, home: Path) -> Bench:
        """Warms the server up, and looks how busy its parts are without it."""
        [context, *_] = contexts(on.definitions, on.settings.feature_service, SEED)
        plain = {name: value for name, kind in context.items() for value in kind.values()}
        ads, users = on.people.ads, on.people.users
        address, out = on.settings.grpc_address, str(home / "asked")
        plan = Plan(address, users, ads, plain, WARM_UP_RATE, ADS, DEADLINE_S, SEED, out)
        meter = CpuMeter({part: on.pids[part] for part in (SERVER, *PARTS)})
        with Asking(plan):  # all ads in one request, so that each is in memory
            time.sleep(WARM_UP_S)
        before = meter.read()
        time.sleep(IDLE_S)
        return cls(on, plan, meter, rates(before, meter.read(), IDLE_S))

    def point(self, rate: float, candidates: int, seconds: float) -> Point | None:
        """Asks for some seconds, the first of which do not count; None where nothing was answered in time.

        Raises:
            BenchmarkError: the auctions did not end.
        """
        with Asking(replace(self.plan, rate=rate, candidates=candidates)) as asking:
            time.sleep(WARM_UP_S)
            begin_s, before = time.monotonic(), self.meter.read()
            time.sleep(seconds)
            end_s, after = time.monotonic(), self.meter.read()
            give_up = end_s + END_S
            while (asked := asking.between(begin_s, end_s)) is None and time.monotonic() < give_up:
                time.sleep(0.1)
        if not asked:
            raise BenchmarkError(f"the auctions of {rate:.0f} a second did not end")
        answered = sum(not a.lost for a in asked)
        if not answered:
            return None
        cpu = per_request(before, after, self.idle, end_s - begin_s, answered)
        return Point.of(rate, candidates, asked, cpu)


def run(home: Path, asked_rates: Sequence[float], candidates: Sequence[int], seconds: float, show: Console) -> Path:
    """Measures everything in a fresh `home`; nothing runs afterwards.

    Returns:
        The page.
    """
    with deployed(home, Population.of(USERS, ADS), SEED, show) as on:
        bench, by_rate, by_candidates = Bench.of(on, home), list[Point](), list[Point]()
        for rate in asked_rates:
            point = bench.point(rate, CANDIDATES, seconds)
            if point is None:
                break
            by_rate.append(_shown(point, show))
            if point.lost > OVERLOADED:
                break
        for count in candidates:
            if point := bench.point(RATE, count, seconds):
                by_candidates.append(_shown(point, show))
    if not (by_rate and by_candidates):
        raise BenchmarkError("nothing was answered in time: give lower rates and fewer candidates")
    OUT.mkdir(parents=True, exist_ok=True)
    where = report.machine()
    figures = {"machine": where, "by_rate": by_rate, "by_candidates": by_candidates}
    (OUT / "figures.json").write_text(json.dumps(figures, indent=1, default=asdict))
    return load_pictures.page(OUT, where, by_rate, by_candidates)


def _shown(point: Point, show: Console) -> Point:
    show.print(
        f"  {point.rate:.0f}/s of {point.candidates}: p50 {point.p50_ms:.1f}, p99 {point.p99_ms:.1f} ms, "
        f"{sum(point.cpu_ms.values()):.2f} ms CPU, {point.lost:.1%} lost"
    )
    return point


@click.command()
@click.option("--rate", "asked_rates", type=float, multiple=True, help="Auctions a second (may be repeated).")
@click.option("--candidates", type=click.IntRange(1, ADS), multiple=True, help="Of an auction (may be repeated).")
@click.option("--seconds", default=8.0, show_default=True, help="How long each point is measured.")
def main(asked_rates: tuple[float, ...], candidates: tuple[int, ...], seconds: float) -> None:
    """Draws latency and CPU against the rate of auctions and against their candidates."""
    warnings.simplefilter("ignore")  # Feast's and torch's remarks on themselves would bury the progress
    logging.getLogger("torch.fx").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the platform on the way out
    show = report.console()
    with tempfile.TemporaryDirectory(prefix="adfeast-load-") as home:
        file = run(Path(home), asked_rates or RATES, candidates or MOST_CANDIDATES, seconds, show)
    show.print(f"the report is in {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
