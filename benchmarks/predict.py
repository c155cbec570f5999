"""What does one Predict of 200 candidates cost?

`python -m benchmarks.predict` starts a platform of its own, fills both online tiers through Feast, publishes a DLRM
with untrained weights, and asks each of these in turn, in short blocks that alternate, with 1 and with 8 clients:

- `adfeast`: the prediction server as `adfeast serve` runs it;
- `adfeast, no ad cache`: the same with `ad_cache_ttl_s=0`, so that each request reads all its ads from DynamoDB;
- `naive server` (peer): the same Predict with the usual libraries, see `benchmarks.peers.naive_server`. Before anything
  is measured its answers are compared with ours: they are equal to the last bit;
- `floor`: one Redis pipeline and one model call in a single process, see `benchmarks.harness.floor`.

How to read the table. Figures are medians over the blocks; the p99 of a subject that answers fewer than 100 requests a
block is its slowest. A client waits for its answer before it asks again, so
latency and rate are those of a closed loop. CPU is user and system time of every process that takes part, a request,
less what it uses when nothing is asked; the load client (k6) stands apart, because it shares the cores but is nobody's
cost. Of the peers' CPU, DynamoDB Local's is that of a Java emulator over SQLite, not of DynamoDB: the columns show how
much it is. The second table divides: `CPU 12.00` means twelve times ours.

The first target is a tenth of the naive server's CPU a request, in all processes but the load client. It is about the
server as it runs, with a warm ad cache; the last lines also say what is left of the ratio without the cache.
"""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from adfeast.contract.topics import Topic
from adfeast.settings import ROOT
from benchmarks.harness import report
from benchmarks.harness.compare import compare
from benchmarks.harness.cpu import CpuMeter, per_request, rates
from benchmarks.harness.data import Population, contexts
from benchmarks.harness.deployed import PARTS, SERVER, deployed
from benchmarks.harness.floor import Floor
from benchmarks.harness.load import K6, Load, Requests
from benchmarks.harness.results import CLIENT, Result, medians, ratios, verdict
from benchmarks.harness.server import free_address, running
from benchmarks.peers import TOPIC
from serving.proto import adfeast_pb2 as pb
from streaming.kafka_admin import ensure_topics

OURS, COLD, NAIVE, FLOOR = "adfeast", "adfeast, no ad cache", "naive server", "floor"
SERVICE = pb.DESCRIPTOR.services_by_name["Prediction"]
PROTO = ROOT / pb.DESCRIPTOR.name
CANDIDATES, USERS, ADS = 200, 500, 1500
CLIENTS = (1, 8)
TARGET = 10.0
SEED = 7
IDLE_S, WARM_UP_S = 5.0, 3.0


@dataclass(frozen=True)
class Subject:
    """Something to measure.

    Attributes:
        ask: puts load on it: clients, seconds, seed.
        processes: whose CPU is its own, by part; shown together with that of the parts all use.
        client: the load is a process of its own, and not the subject itself.
    """

    name: str
    ask: Callable[[int, float, int], Load]
    processes: Mapping[str, int]
    client: bool = True

    def measure(self, clients: int, seconds: float, seed: int, idle: Mapping[str, float]) -> Result:
        """One block."""
        meter = CpuMeter(self.processes)
        before, start = meter.read(), time.perf_counter()
        load = self.ask(clients, seconds, seed)
        after, wall = meter.read(), time.perf_counter() - start
        cpu = per_request(before, after, idle, wall, load.requests)
        cpu[CLIENT if self.client else "server"] = load.cpu_s * 1000 / load.requests
        return Result(self.name, clients, load.requests, load.requests / load.seconds, load.p50_ms, load.p99_ms, cpu)


def measure(subjects: Sequence[Subject], rounds: int, seconds: float, show: Console) -> list[Result]:
    """Warms up every subject, looks how busy the idle parts are, then measures in alternation."""
    for subject in subjects:
        for clients in reversed(CLIENTS):
            subject.ask(clients, WARM_UP_S, SEED)
    meter = CpuMeter({f"{s.name}/{p}": pid for s in subjects for p, pid in s.processes.items()})
    before = meter.read()
    time.sleep(IDLE_S)
    idle = rates(before, meter.read(), IDLE_S)
    blocks = []
    for turn in range(rounds):
        for clients in CLIENTS:
            for s in subjects:
                own = {part: idle[f"{s.name}/{part}"] for part in s.processes}
                blocks.append(s.measure(clients, seconds, SEED + turn, own))
                b = blocks[-1]
                show.print(
                    f"  round {turn + 1}: {s.name}, {clients} clients: {b.rate:,.0f}/s, {b.served_ms:.2f} ms CPU"
                )
    return blocks


def run(home: Path, rounds: int, seconds: float, show: Console) -> list[Result]:
    """The whole benchmark in a fresh `home`; nothing runs afterwards.

    Returns:
        All blocks in the order in which they were measured.
    """
    from benchmarks.harness.model import onnx_file  # torch, with its warnings

    with ExitStack() as stack:
        on = stack.enter_context(deployed(home, Population.of(USERS, ADS), SEED, show))
        settings, definitions, people, model = on.settings, on.definitions, on.people, on.model
        ensure_topics(settings.kafka_bootstrap, {TOPIC: Topic(2)})
        show.print("starting those to compare with ...")
        shared = {part: on.pids[part] for part in PARTS}
        environment = {"ADFEAST_SETTINGS": str(on.platform.home.settings_file), "PYTHONWARNINGS": "ignore"}

        naive, cold = free_address(), free_address()
        python = sys.executable
        command = [python, "-m", "benchmarks.peers.naive_server", "--address", naive, "--model", model]
        naive_pid = stack.enter_context(running(command, naive, environment, home / "naive.log"))
        command = [str(Path(python).with_name("adfeast")), "serve"]
        no_cache = environment | {"ADFEAST_AD_CACHE_TTL_S": "0", "ADFEAST_GRPC_ADDRESS": cold}
        no_cache |= {"ADFEAST_REST_ADDRESS": "null"}
        cold_pid = stack.enter_context(running(command, cold, no_cache, home / "cold.log"))

        asked = Requests(
            proto=PROTO,
            method=f"{SERVICE.full_name}/{SERVICE.methods_by_name['Predict'].name}",
            users=people.users,
            ads=people.ads,
            contexts=contexts(definitions, settings.feature_service, SEED),
            candidates=CANDIDATES,
        )
        for address in (naive, cold):
            compare(asked, settings.grpc_address, address, SEED)
        k6 = K6(asked, home)
        signature = definitions.signature(settings.feature_service)
        floor = Floor(settings, definitions, signature, onnx_file(on.artifact), people, CANDIDATES, SEED)

        def server(name: str, address: str, pid: int) -> Subject:
            return Subject(name, lambda c, s, seed: k6.run(address, c, s, seed), {"server": pid, **shared})

        subjects = [
            server(OURS, settings.grpc_address, on.pids[SERVER]),
            server(COLD, cold, cold_pid),
            server(NAIVE, naive, naive_pid),
            Subject(FLOOR, lambda c, s, _: floor.run(c, s), {"valkey": shared["valkey"]}, client=False),
        ]
        return measure(subjects, rounds, seconds, show)


@click.command()
@click.option("--rounds", default=3, show_default=True, help="blocks a subject and number of clients")
@click.option("--seconds", default=4.0, show_default=True, help="length of a block")
def main(rounds: int, seconds: float) -> None:
    """Measures one Predict of 200 candidates against a naive server and the floor."""
    warnings.simplefilter("ignore")  # Feast's and torch's remarks on themselves would bury the progress
    logging.getLogger("torch.fx").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the platform on the way out
    show, where = report.console(), report.machine()
    with tempfile.TemporaryDirectory(prefix="adfeast-bench-") as home:
        blocks = run(Path(home), rounds, seconds, show)
    results = medians(blocks)
    found = ratios(results, OURS)
    where["load_average_1m_after"] = report.machine()["load_average_1m"]
    title = f"one Predict of {CANDIDATES} candidates on {where['cores']} cores ({where['cpu']})"
    show.print(report.cost_table(title, results))
    show.print(report.ratio_table(OURS, found))
    conclusion = verdict(found, NAIVE, COLD, TARGET)
    show.print(conclusion)
    file = ROOT / ".local" / "bench" / f"predict-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    content = {"machine": where, "candidates": CANDIDATES, "verdict": conclusion}
    report.save(file, content | {"blocks": [asdict(b) for b in blocks]}, results, found)
    busy = "load average {load_average_1m} before and {load_average_1m_after} after".format(**where)
    show.print(f"{busy}; kept in {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
