"""The stream benchmark's table, and what was wanted beside what was found."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.harness.stream_run import StreamResult

OURS, TO_REDIS, DATASTREAM, TILES = "adfeast", "adfeast to Redis", "datastream", "tiles"
RATE = 50_000  # events a second to Redis
TIMES = {DATASTREAM: 10.0, TILES: 1 / 3}


def stream_table(results: Sequence[StreamResult], keys: int, events: int) -> Table:
    """One line a run."""
    parts = list(dict.fromkeys(part for r in results for part in r.cpu_us))
    table = Table(title=f"{events:,} impressions of {keys:,} users and ads, two views")
    table.add_column("measured")
    names = ("parallel", "events/s", "rows", "state/key", "state/event", "CPU us", *parts, "Redis cmd", "Redis bytes")
    for name in names:
        table.add_column(name, justify="right")
    for r in results:
        cpu = [f"{r.cpu_us[p]:.1f}" if p in r.cpu_us else "-" for p in parts]
        redis = [f"{r.redis[name]:.1f}" if r.redis else "-" for name in ("commands", "bytes")]
        state = [f"{r.state_bytes / keys:,.0f}", f"{r.state_bytes / events:,.0f}"]
        table.add_row(
            r.subject, str(r.parallelism), f"{r.rate:,.0f}", f"{r.rows:.2f}", *state, f"{r.cpu:.1f}", *cpu, *redis
        )
    return table


def verdict(results: Sequence[StreamResult]) -> str:
    """What was wanted beside what was found, one sentence each."""
    best = {
        name: max((r.rate for r in results if r.subject.startswith(name)), default=0.0) for name in (DATASTREAM, TILES)
    }
    to_redis = max((r.rate for r in results if r.subject == TO_REDIS), default=0.0)
    ours = max((r.rate for r in results if r.subject.startswith(OURS) and r.subject != TO_REDIS), default=0.0)
    wanted = RATE
    lines = [f"target {_met(to_redis >= wanted)}: {to_redis:,.0f} events/s to Redis (wanted {wanted:,})"]
    for name, rate in best.items():
        if rate:
            found = f"{to_redis / rate:.2f} times {name!r} to Redis, {ours / rate:.2f} to Kafka"
            lines.append(f"target {_met(to_redis / rate >= TIMES[name])}: {found} (wanted {TIMES[name]:.2f})")
    return "\n".join(lines)


def _met(met: bool) -> str:
    return "met" if met else "NOT met"
