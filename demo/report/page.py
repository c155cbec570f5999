"""The report of a run: one HTML file that needs nothing else, and a short summary for the terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console
from rich.table import Table

from adfeast.contract.model_names import triton_model
from demo.report.results import CalibrationBin, Fact, Interval, Report
from demo.traffic.download import CREDIT, LICENCE
from demo.traffic.open_bandit import DELAY_MEDIAN_S, DELAY_P99_S

INK, MUTED, ACCENT, SECOND = "#1c2430", "#6b7685", "#1f6f8b", "#c8553d"
PALETTE = (ACCENT, SECOND, "#7a6c9d", "#4f7f52")


def write_html(report: Report, folder: Path) -> Path:
    """Writes `folder/index.html` and returns its path."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters |= {"count": _count, "took": _took, "ms": _ms, "fact": _fact, "interval": _interval}
    page = pages.get_template("page.html.j2").render(
        r=report,
        credit=CREDIT,
        licence=LICENCE,
        delay_median=DELAY_MEDIAN_S,
        delay_p99=DELAY_P99_S,
        calibration=_calibration(report.calibration) if report.calibration else "",
        first_model=triton_model(1),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    path.write_text(page)
    return path


def summarise(report: Report, page: Path, console: Console) -> None:
    """Prints the key facts."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for name, n in report.counts.items():
        table.add_row(name, _count(n))
    for name, p in report.predict_ms.items():
        table.add_row(f"Predict, {name}", f"p50 {_ms(p.p50)}, p99 {_ms(p.p99)} at the server")
    for name, p in report.freshness_ms.items():
        table.add_row(
            f"fresh in {name}", f"p50 {_ms(p.p50)}, p99 {_ms(p.p99)} from acknowledged to readable (n = {p.n})"
        )
    if report.decay:
        table.add_row("decay", report.decay)
    for m in report.models:
        shown = ", ".join(f"{k} {_interval(v)}" for k, v in m.metrics.items())
        table.add_row(m.name, f"{shown}; {_count(m.clicks)} clicks in {_count(m.rows)}")
    if report.verdict:
        table.add_row("trained model", report.verdict)
        table.add_row("", report.outcome)
    for c in report.compared[:1]:
        ad, before, after = c.rows[0]
        table.add_row("same request", f"{ad}: {before:.4f} by {c.before_model}, {after:.4f} by {c.after_model}")
    table.add_row("took", _took(report.seconds))
    table.add_row("report", str(page))
    console.print(table)
    console.print(
        "The data carries almost no signal and click times are synthetic: read the intervals, not the points.",
        style="dim",
    )
    for name, how in report.where.items():
        console.print(f"{name}: [bold]{how}[/bold]", highlight=False)


def _count(n: float) -> str:
    return f"{n:,.0f}".replace(",", "\u202f")


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def _ms(ms: float) -> str:
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def _fact(value: Fact) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return _count(value) if isinstance(value, int) else value


def _interval(i: Interval) -> str:
    digits = 5 if abs(i.value) < 0.01 else 3 if abs(i.value) < 10 else 1
    return f"{i.value:.{digits}f} ({i.low:.{digits}f} to {i.high:.{digits}f})"


def _calibration(curves: dict[str, list[CalibrationBin]]) -> str:
    """Reliability picture as SVG text: predicted against observed click rate, with 95 % intervals."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    style: dict[str, Any] = {
        "font.family": "sans-serif",
        "font.size": 10,
        "svg.fonttype": "none",
        "svg.hashsalt": "adfeast",
        "axes.edgecolor": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
    }
    with mpl.rc_context(style):
        figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        top = 100 * max(max(b.predicted, b.observed.high) for bins in curves.values() for b in bins)
        axes.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="perfectly calibrated")
        for colour, (name, bins) in zip(PALETTE, curves.items(), strict=False):
            x = [100 * b.predicted for b in bins]
            y = [100 * b.observed.value for b in bins]
            down = [100 * (b.observed.value - b.observed.low) for b in bins]
            up = [100 * (b.observed.high - b.observed.value) for b in bins]
            axes.errorbar(x, y, (down, up), fmt="o", color=colour, markersize=5, elinewidth=1.2, capsize=3, label=name)
        axes.set(xlim=(0, 1.05 * 100 * max(b.predicted for v in curves.values() for b in v)), ylim=(0, 1.05 * top))
        axes.set_xlabel("predicted click rate, %")
        axes.set_ylabel("observed click rate, %")
        axes.legend(frameon=False, loc="upper left")
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        plt.close(figure)
    return out.getvalue()[out.getvalue().index("<svg") :]
