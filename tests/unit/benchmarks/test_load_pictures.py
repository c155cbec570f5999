"""The pictures of a load report show what was measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness.auctions import Asked
from benchmarks.harness.load_pictures import Point, page

MACHINE = {"cores": 2, "cpu": "a <fast> one", "load_average_1m": 0.1}


def asked(ms: list[float], lost: int) -> list[Asked]:
    answered = [Asked(n, n / 10, 0.5, m, 1, n > 0, "m", "") for n, m in enumerate(ms)]
    return [*answered, *(Asked(n, n / 10, 0.5, 900.0, 0, False, "", "UNAVAILABLE: x") for n in range(lost))]


def test_a_point_takes_latencies_of_answers_and_counts_what_is_lost() -> None:
    point = Point.of(50.0, 200, asked([1.0, 2.0, 3.0, 4.0], 1), {"server": 1.5})
    assert (point.p50_ms, point.lost, point.whole, point.late_ms) == (2.0, 0.2, 0.75, 0.5)


def test_a_report_is_a_page_with_its_pictures_and_figures(tmp_path: Path) -> None:
    points = [Point.of(r, 200, asked([r, 2 * r], 0), {"server": r, "triton": 0.25}) for r in (10.0, 20.0)]
    file = page(tmp_path, MACHINE, points, points)
    text = file.read_text()
    pictures = {p.name for p in tmp_path.glob("*.png")}
    assert pictures == {f"{what}_by_{of}.png" for what in ("latency", "cpu") for of in ("rate", "candidates")}
    assert all(f'src="{name}"' in text for name in pictures)
    assert "a &lt;fast&gt; one" in text
    assert "<td>20.25</td>" in text, "the CPU of all parts"
