"""Shows results as tables people can read, and keeps them as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness.results import CLIENT, Ratios, Result


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was with other things."""
    names = [line.split(":", 1)[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "cpu": names[0].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_average_1m": round(os.getloadavg()[0], 1),
    }


def cost_table(title: str, results: Sequence[Result]) -> Table:
    """Rate, latency and CPU of every part, one line a subject and number of clients."""
    parts = [p for p in dict.fromkeys(p for r in results for p in r.cpu_ms) if p != CLIENT]
    table = Table(title=title, caption="CPU columns: milliseconds a request, without what the part uses when idle")
    table.add_column("measured")
    for name in ("clients", "req/s", "p50 ms", "p99 ms", "CPU, all", *parts, CLIENT, "requests"):
        table.add_column(name, justify="right")
    for clients in dict.fromkeys(r.clients for r in results):
        for r in (r for r in results if r.clients == clients):
            shown = [_ms(r.cpu_ms.get(p)) for p in (*parts, CLIENT)]
            table.add_row(
                *(r.subject, str(r.clients), f"{r.rate:,.0f}", _ms(r.p50_ms), _ms(r.p99_ms), _ms(r.served_ms)),
                *(*shown, f"{r.requests:,}"),
            )
        table.add_section()
    return table


def ratio_table(ours: str, found: Sequence[Ratios]) -> Table:
    """What the others cost for each request of ours."""
    table = Table(title=f"times {ours!r}", caption="above 1: the other costs more, or answers fewer a second")
    table.add_column("other")
    for name in ("clients", "CPU", "CPU with load client", "p50", "req/s"):
        table.add_column(name, justify="right")
    for r in found:
        table.add_row(r.other, str(r.clients), *(f"{v:.2f}" for v in (r.cpu, r.cpu_with_client, r.p50, r.rate)))
    return table


def save(file: Path, content: dict[str, Any], results: Sequence[Result], found: Sequence[Ratios]) -> None:
    """Writes everything that was shown, with `content`, as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    derived = [asdict(r) | {"cpu_all_ms": r.served_ms, "cpu_with_client_ms": r.total_ms} for r in results]
    file.write_text(json.dumps(content | {"results": derived, "ratios": [asdict(r) for r in found]}, indent=1))


def console() -> Console:
    """A console that keeps its tables whole when the output is a file."""
    found = Console()
    return found if found.is_terminal else Console(width=170)


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
