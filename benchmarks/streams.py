"""How many events a second reach Redis as windows of two views, what does each cost, and how soon can it be read?

`python -m benchmarks.streams` starts a platform of its own, puts impressions (uniform users, ads by Zipf's law) into
Kafka, and lets each of these work through them from the beginning, one after the other:

- `adfeast`: the stream views of a user's and an ad's impressions as they run, to Kafka; at parallelism 1 and 2, and
  with an emission interval (`adfeast, <ms>`);
- `adfeast to Redis`: the same with the Redis writer behind it, until Redis has the last row;
- `datastream` (peer): the same windows as a PyFlink DataStream job, see `benchmarks.peers.stream_windows`;
- `tiles` (peer): tumbling tiles in SQL, which are no windows yet; there too.

How to read the table. `rows`: written to Kafka for each event. `state`: bytes of a checkpoint for each key (users and
ads) and each event. CPU is user and system time of the parts, microseconds an event, idle work included. Redis' figures
are for each event of the topic. Expiries count only as far as the event time goes: `--density` is how many events lie
in a second of it. Freshness is measured at half of the rate to Redis with events of the moment: from the sending of a
new user's event until its value is in Redis.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from adfeast.feast_ext.store import apply
from adfeast.settings import ROOT
from benchmarks.harness import report
from benchmarks.harness.stream_bench import PARTS, Sizes, StreamBenchmark
from benchmarks.harness.stream_report import stream_table, verdict
from infra.local.platform.platform import Platform


@click.command()
@click.option("--events", default=300_000, show_default=True, help="events in the topic")
@click.option("--users", default=100_000, show_default=True, help="how many they can be of")
@click.option("--ads", default=1_500, show_default=True, help="how many they can be of")
@click.option("--density", default=2_000, show_default=True, help="events in a second of event time")
@click.option("--emit-ms", default=1_000, show_default=True, help="emission interval to measure too; 0: none")
@click.option("--parallelism", default="1,2", show_default=True, help="comma-separated")
@click.option("--peers/--no-peers", default=True, show_default=True, help="measure the peers too")
@click.option("--freshness-s", default=20.0, show_default=True, help="seconds of live events; 0: none")
@click.option("--growth", default="", help="more numbers of users, comma-separated: state and rate as keys grow")
@click.option("--deadline-s", default=600.0, show_default=True, help="a run that takes longer is given up")
def main(
    events: int,
    users: int,
    ads: int,
    density: int,
    emit_ms: int,
    parallelism: str,
    peers: bool,
    freshness_s: float,
    growth: str,
    deadline_s: float,
) -> None:
    """Measures the stream side against a PyFlink DataStream job and tumbling tiles in SQL."""
    warnings.simplefilter("ignore")
    logging.getLogger("feast").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the platform on the way out
    show, where = report.console(), report.machine()
    parallelisms = tuple(int(p) for p in parallelism.split(","))
    sizes = Sizes(events, users, ads, density, emit_ms, parallelisms, peers, freshness_s, deadline_s)
    every = [sizes] + [
        replace(sizes, users=int(n), parallelisms=(1,), peers=False, freshness_s=0, events=max(events, 2 * int(n)))
        for n in growth.split(",")
        if n
    ]
    kept = []
    for one in every:
        with ExitStack() as stack:
            home = stack.enter_context(tempfile.TemporaryDirectory(prefix="adfeast-bench-"))
            platform = Platform(Path(home), PARTS)
            show.print("starting the platform ...")
            settings = stack.enter_context(platform).settings
            apply(settings)
            platform.create_topics()
            found = StreamBenchmark(platform, settings, one, show)
            try:
                found.run()
            finally:
                show.print(stream_table(found.results, max(found.keys, 1), one.events))
        for f in found.fresh:
            show.print(f"at {f.rate:,.0f} events/s: p50 {f.p50_ms:.0f} ms, p99 {f.p99_ms:.0f} ms ({f.probes} probes)")
        kept.append({"sizes": asdict(one), "keys": found.keys, "results": [asdict(r) for r in found.results]})
        kept[-1]["freshness"] = [asdict(f) for f in found.fresh]
        if one is sizes:
            show.print(verdict(found.results))
    where["load_average_1m_after"] = report.machine()["load_average_1m"]
    file = ROOT / ".local" / "bench" / f"streams-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": where, "runs": kept}, indent=1))
    busy = "load average {load_average_1m} before and {load_average_1m_after} after".format(**where)
    show.print(f"{busy}; kept in {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
