"""The pictures of a load report: latency and CPU against the rate of auctions, and against their candidates."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.auctions import Asked

SIZE = (8.0, 4.5)  # inches
DOTS = 110  # an inch


@dataclass(frozen=True)
class Point:
    """Some seconds of load.

    Attributes:
        p50_ms, p99_ms: of what was answered, from when it was due.
        late_ms: how much later than due it was sent, the 99th percentile: the client's fault.
        lost: share without an answer.
        whole: share of the answers on the highest rung, with everything read.
        cpu_ms: of a request, by part.
    """

    rate: float
    candidates: int
    p50_ms: float
    p99_ms: float
    late_ms: float
    lost: float
    whole: float
    cpu_ms: Mapping[str, float]

    @classmethod
    def of(cls, rate: float, candidates: int, asked: Sequence[Asked], cpu_ms: Mapping[str, float]) -> Point:
        """Of auctions of which at least one was answered."""
        answered = [a for a in asked if not a.lost]
        ms = sorted(a.ms for a in answered)
        return cls(
            *(rate, candidates, _at(ms, 0.5), _at(ms, 0.99), _at(sorted(a.late_ms for a in asked), 0.99)),
            lost=(len(asked) - len(answered)) / len(asked),
            whole=sum(a.whole for a in answered) / len(answered),
            cpu_ms=cpu_ms,
        )


def _at(ordered: Sequence[float], quantile: float) -> float:
    return ordered[int(quantile * (len(ordered) - 1))]


def page(folder: Path, machine: Mapping[str, Any], by_rate: Sequence[Point], by_candidates: Sequence[Point]) -> Path:
    """Draws everything into a folder; returns the page that shows it."""
    by_of: tuple[tuple[str, Sequence[Point], str, Callable[[Point], float]], ...] = (
        ("rate", by_rate, f"auctions a second, of {by_rate[0].candidates} candidates", lambda p: p.rate),
        ("candidates", by_candidates, f"candidates, {by_candidates[0].rate:.0f} auctions a second", _candidates),
    )
    shown = []
    for name, points, axis, of in by_of:
        x = [of(p) for p in points]
        for what, draw in (("latency", _latency), ("cpu", _cpu)):
            draw(folder / f"{what}_by_{name}.png", axis, x, points)
            shown.append(f'<p><img src="{what}_by_{name}.png" alt="{what} by {name}"></p>')
        shown.append(_table(points))
    about = html.escape("{cores} cores, {cpu}; load average {load_average_1m} at the end".format(**machine))
    file = folder / "index.html"
    file.write_text(
        '<!doctype html><meta charset="utf-8"><title>Load report</title><style>body{font:15px sans-serif;margin:2em}'
        "td,th{padding:2px 10px;text-align:right}</style><h1>Load report</h1>"
        f"<p>One prediction server; client and all parts on the same machine: {about}. An open loop: a latency begins "
        "when an auction is due. CPU is that of all processes of a part, without what it uses when idle.</p>"
        + "".join(shown)
    )
    return file


def _candidates(point: Point) -> float:
    return float(point.candidates)


def _latency(file: Path, axis: str, x: Sequence[float], points: Sequence[Point]) -> None:
    figure, axes = _axes(axis, "ms")
    for name, ys in (("p99", [p.p99_ms for p in points]), ("p50", [p.p50_ms for p in points])):
        axes.plot(x, ys, marker="o", label=name)
    axes.plot(x, [p.late_ms for p in points], linestyle=":", color="gray", label="client's own lateness, p99")
    axes.set_yscale("log")
    _save(figure, axes, file)


def _cpu(file: Path, axis: str, x: Sequence[float], points: Sequence[Point]) -> None:
    figure, axes = _axes(axis, "ms of CPU a request")
    parts = list(points[0].cpu_ms)
    axes.stackplot(x, [[p.cpu_ms[part] for p in points] for part in parts], labels=parts)
    _save(figure, axes, file)


def _axes(axis: str, unit: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot, which looks for a screen

    figure = Figure(SIZE, DOTS)
    axes = figure.add_subplot()
    axes.set_xlabel(axis)
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, axes: Any, file: Path) -> None:
    axes.legend(loc="upper left")
    figure.tight_layout()
    figure.savefig(file)


def _table(points: Sequence[Point]) -> str:
    parts = list(points[0].cpu_ms)
    head = ["a second", "candidates", "p50 ms", "p99 ms", "sent late, p99 ms", "lost", "fresh", "CPU ms", *parts]
    lines = [
        [
            *(f"{p.rate:.0f}", str(p.candidates), f"{p.p50_ms:.1f}", f"{p.p99_ms:.1f}", f"{p.late_ms:.1f}"),
            *(f"{p.lost:.1%}", f"{p.whole:.1%}", f"{sum(p.cpu_ms.values()):.2f}"),
            *(f"{p.cpu_ms[part]:.2f}" for part in parts),
        ]
        for p in points
    ]
    rows = ["".join(f"<th>{cell}</th>" for cell in head), *("".join(f"<td>{c}</td>" for c in line) for line in lines)]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
